"""Queues and threads that several rooms need."""
