"""From Piccolo API: sessions, tokens and authenticator apps become ours, and nobody is logged out."""
