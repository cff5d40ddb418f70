"""Transports that serve the wrapped RPCs."""
