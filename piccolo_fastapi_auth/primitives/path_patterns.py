"""Which paths of an application are open: ``/health`` is one path, ``/static/*`` all that begin so."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

LONGEST_PATH: Final = 2048
# What one part of a stack may read otherwise than the next: empty and dotted segments, parameters, what is still encoded.
_AMBIGUOUS: Final = re.compile(r"//|/[. ]+(?:/|$)|[\\;%?#\ufffd]|^(?!/)")
_ENCODED_SEPARATOR: Final = re.compile(rb"%2f|%5c", re.IGNORECASE)


class PathPatterns:
    """A set of exact paths and of beginnings. Only a path in its one canonical spelling is ever in it.

    Whoever normalises ``..`` or ``;x`` further in can then make nothing of an open path but an open path: any other
    spelling is simply not open. Case counts, and so does a slash at the end.

    Args:
        patterns: Each begins with ``/``; a ``*`` may stand at the end, for any rest.

    Raises:
        ValueError: A pattern can never match, or would open the whole application.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        given = list(patterns)
        for pattern in given:
            if not is_canonical(pattern.removesuffix("*")) or "*" in pattern[:-1]:
                raise ValueError(
                    f"{pattern!r} is no path: begin with /, spell it plainly, * only ends it"
                )
            if pattern == "/*":
                raise ValueError("'/*' would open everything")
        self._exact = frozenset(pattern for pattern in given if not pattern.endswith("*"))
        self._beginnings = tuple(pattern[:-1] for pattern in given if pattern.endswith("*"))

    def __contains__(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._beginnings)

    def match(self, path: str, *, root_path: str = "", raw_path: bytes = b"") -> bool:
        """Say whether a request is for an open path of the application that is mounted at ``root_path``.

        Args:
            path: The decoded path, ``root_path`` included or not (ASGI servers differ).
            root_path: Where the application is mounted.
            raw_path: The path as it was sent, where the server tells: an encoded slash is no slash.
        """
        if not is_canonical(path) or _ENCODED_SEPARATOR.search(raw_path):
            return False
        inner = path.removeprefix(root_path)
        return (inner if inner.startswith("/") else path) in self


def is_canonical(path: str) -> bool:
    """Say whether a decoded path has only one reading."""
    return (
        len(path) <= LONGEST_PATH
        and path.isprintable()
        and not _AMBIGUOUS.search(path)
        and unicodedata.normalize("NFKC", path) == path
    )
