"""The trail: what happened to whom, written with the change itself."""
