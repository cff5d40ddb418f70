"""Administration of the database: backing it up, copying and distributing it."""
