"""Authentication: bearer tokens, the issuers' keys, and the tenants that tokens are good for."""
