"""What the service is compared with: the same API as other frameworks would have it.

Each peer serves one process, with the rules, identity, logs and durability of
the service: what differs is what a team would write around them. `floor` is
what is left of the service when all of that is taken away.
"""
