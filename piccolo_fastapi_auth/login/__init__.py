"""The sequence of a log-in."""
