"""The command line `twc-customers`, a client that depends on the contract alone."""
