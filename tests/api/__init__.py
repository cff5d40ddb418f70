"""The RPCs, as a gRPC client sees them."""
