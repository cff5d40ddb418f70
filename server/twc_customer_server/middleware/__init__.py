"""Middleware of every RPC: authentication, decoding, error mapping, recording, streams."""
