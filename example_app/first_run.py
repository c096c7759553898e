"""A secret of its own for each checkout: made on the first run, kept out of git, readable by its owner only."""

import os
import secrets
import tempfile
from pathlib import Path

SECRETS_FILE = Path(os.environ.get("READING_LIST_SECRETS", Path(__file__).parent / ".secrets"))


def secret_key() -> str:
    """Return the secret of this checkout; the first caller makes it, however many workers start at once."""
    if not SECRETS_FILE.exists():
        handle, name = tempfile.mkstemp(dir=SECRETS_FILE.parent)  # mode 600 from the start
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(
                name, SECRETS_FILE
            )  # fails where another worker was first; then its secret is the one
        except FileExistsError:
            pass
        finally:
            Path(name).unlink()
    return SECRETS_FILE.read_text().strip()
