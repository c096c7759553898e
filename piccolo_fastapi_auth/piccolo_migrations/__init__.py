"""Migrations of the app ``fastapi_auth``."""
