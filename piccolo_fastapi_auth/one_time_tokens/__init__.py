"""Secrets that are good once: challenges and links."""
