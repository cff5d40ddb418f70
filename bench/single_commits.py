"""A server that commits every write by itself: what group commit is compared with."""

from server import __main__ as server
from server.storage import writer

if __name__ == "__main__":
    writer.GROUP = 1
    server.main()
