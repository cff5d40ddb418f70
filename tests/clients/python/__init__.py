"""Programs that make the calls of every client, run by a Python that has those clients."""
