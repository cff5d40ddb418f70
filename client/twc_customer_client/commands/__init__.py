"""The commands: their options, and the summaries that they print."""
