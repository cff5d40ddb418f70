"""Damages a SQLite database as a failing disk would."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path


def spoil_customers(path: Path) -> None:
    """Overwrites the first page of the table of customers and of its indexes, in a closed file.

    A server that starts comes upon none of them.
    """
    with closing(sqlite3.connect(path)) as database:
        [[page_bytes]] = database.execute("PRAGMA page_size")
        roots = database.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'customer'")
        places = [(root - 1) * page_bytes for (root,) in roots]
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            file.write(os.urandom(page_bytes))
