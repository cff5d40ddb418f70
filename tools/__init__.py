"""Programs that the Makefile runs before anything is installed: Python's own library must do."""
