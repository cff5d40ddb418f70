"""Settings: where they come from, and what is wrong with them."""

import os

# Pydantic looks for plugins in the metadata of all that is installed, which takes a twentieth of a
# server's start. Its classes of settings are the first that would have it do so.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
