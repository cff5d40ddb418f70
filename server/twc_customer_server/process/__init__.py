"""The process of a server: its interpreter, the signals it takes, and its output."""
