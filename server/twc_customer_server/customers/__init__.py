"""The rules of a valid customer, as pure functions over the messages of the contract.

They normalise a message in place and return violations as a list, so that a
caller gets all of them at once.
"""
