"""Starts, watches and stops the workers and Envoy."""
