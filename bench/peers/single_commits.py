"""Runs the service's server without group commit: every write is a transaction of its own."""

from twc_customer_server import __main__ as server
from twc_customer_server.storage import group_commit

if __name__ == "__main__":
    group_commit.MAX_GROUP = 1
    server.main()
