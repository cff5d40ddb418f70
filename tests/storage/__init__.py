"""The storage, on a real database."""
