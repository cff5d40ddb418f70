"""An import: batches of records, their results, the rejects file and the checkpoint."""
