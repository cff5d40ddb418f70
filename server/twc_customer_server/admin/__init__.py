"""Administration of the database: copying and distributing it."""
