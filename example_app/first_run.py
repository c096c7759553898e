"""A secret of its own for each checkout: made on the first run, kept out of git, readable by its owner only."""

import os
import secrets
import tempfile
from pathlib import Path

SECRETS_FILE = Path(os.environ.get("READING_LIST_SECRETS", Path(__file__).parent / ".secrets.env"))


def secrets_file() -> Path:
    """Return the settings file that holds the secret; the first caller makes it.

    Workers that start at once agree: the file appears whole, and only for the first of them.
    """
    if not SECRETS_FILE.exists():
        # Mode 600 from the start.
        handle, draft = tempfile.mkstemp(dir=SECRETS_FILE.parent, prefix=".secrets-")
        with os.fdopen(handle, "w") as file:
            file.write(f"PICCOLO_AUTH_SECRET_KEYS={secrets.token_urlsafe(32)}\n")
        try:
            os.link(draft, SECRETS_FILE)
        except FileExistsError:
            pass  # another worker was first, and its secret is the one
        finally:
            Path(draft).unlink()
    return SECRETS_FILE
