"""The RPCs of CustomerService: parse requests, apply the rules, use the store, respond."""
