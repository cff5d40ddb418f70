"""Middleware of every RPC, and of its streams."""
