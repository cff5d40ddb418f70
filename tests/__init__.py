"""Tests of the Customer API, from pure rules to the running service."""
