"""The gRPC server of twc.customer.v2.CustomerService."""
