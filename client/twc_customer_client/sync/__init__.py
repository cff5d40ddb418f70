"""The synchronous client, which is made of the asynchronous one, but for `runtime.py`."""
