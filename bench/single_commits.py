"""A server that commits every write by itself: what group commit is compared with."""

from twc_customer_server import __main__ as server
from twc_customer_server.storage import sqlite

if __name__ == "__main__":
    sqlite.MAX_GROUP = 1
    server.main()
