"""How often: rate limits for routes, whole applications and the log-in."""
