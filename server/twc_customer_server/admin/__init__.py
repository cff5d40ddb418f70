"""Administration of the database: copying it, distributing it, and their progress."""
