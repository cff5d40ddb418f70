"""The server as the release after this one: `python -m tests.support.next_release serve`.

It has the migrations of a folder, which an environment variable names, instead of its own.
"""

import os
from pathlib import Path

from twc_customer_server.__main__ import main
from twc_customer_server.storage import migrate

MIGRATIONS = "TEST_MIGRATIONS"

if __name__ == "__main__":
    migrate.MIGRATIONS = Path(os.environ[MIGRATIONS])
    main()
