"""Pure rules and cryptography: no database, no HTTP, no settings."""
