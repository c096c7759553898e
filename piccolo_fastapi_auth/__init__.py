"""Everything about signing in, for FastAPI applications on the Piccolo ORM."""
