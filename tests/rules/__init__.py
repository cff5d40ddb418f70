"""The rules at length: what they cost by size, and the numbers of every country."""
