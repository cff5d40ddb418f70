"""Who calls: bearer tokens, the keys that prove them, and the tenants they are good for."""
