"""What becomes of calls when PostgreSQL, or the way to it, fails."""
