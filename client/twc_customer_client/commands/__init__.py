"""The commands: the options that each takes, and what it prints."""
