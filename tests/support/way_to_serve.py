"""The way to serve that the tests run on: known without the server, which loads slowly.

It is a setting as well, which the environment of the tests does not keep: who starts a service
gives it.
"""

import os

SERVE = os.environ.get("SERVE", "workers")
