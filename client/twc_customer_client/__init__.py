"""The command line `twc-customers`, which knows of the service no more than its contract."""
