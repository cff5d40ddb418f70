"""Serves the wrapped servicer by grpcio."""
