"""Which databases the suites run on, by name: known without the drivers, which load slowly."""

import os

# The URL of a database on the coordinator of a Citus cluster, if there is one to test on.
CITUS = "CITUS_URL"

NAMES = ["sqlite", "postgresql", *(["citus"] if os.environ.get(CITUS) else [])]
