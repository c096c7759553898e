"""Where a page may lead on to: a path of this site, or nowhere (OWASP Unvalidated Redirects). Pure."""

import re
from typing import Final

LONGEST: Final = 1024
# A slash that no second one follows, then what RFC 3986 allows in a path and its query. No backslash, control
# character or colon in the first place; percent only before letters, digits and signs that no browser decodes
# into another site.
_PATH: Final = re.compile(
    r"/(?:[A-Za-z0-9._~!$&'()*+,;=@-][A-Za-z0-9._~!$&'()*+,;=:@/%-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?",
    re.ASCII,
)
_ENCODED: Final = re.compile(r"%(?:2f|5c|0|1|7f)", re.IGNORECASE)


def safe_path(text: str) -> str | None:
    """Return a path of this site that a browser cannot take for another site, or ``None``."""
    if len(text) > LONGEST or not _PATH.fullmatch(text) or _ENCODED.search(text):
        return None
    path = text.partition("?")[0]
    return None if "//" in path or "/../" in f"{path}/" else text
