"""Tests of the client library, of both kinds of client."""
