"""The RPCs of CustomerService: parses requests, applies the rules, stores, answers."""
