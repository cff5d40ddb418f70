"""Envoy in front of the server: REST, native gRPC and gRPC-Web on one port."""
