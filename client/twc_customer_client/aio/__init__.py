"""The asynchronous client; `tools/sync_client.py` makes the synchronous one of it."""
