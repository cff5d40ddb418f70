"""Logs and metrics, of the server and of the gateway's supervisor."""
