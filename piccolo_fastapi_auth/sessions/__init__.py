"""One row for each sign-in."""
