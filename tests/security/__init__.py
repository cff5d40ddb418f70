"""Attacks on the running service, beside the steady calls of another tenant: `make attack`."""
