"""Clients that others have written call the running service, as their own documentation has it."""
