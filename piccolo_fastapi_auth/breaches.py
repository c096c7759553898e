"""Passwords from known breaches, looked up without telling the password (PWD-6, ASVS 6.2.12)."""

import hashlib
import logging
import re
from datetime import timedelta
from typing import Literal, Protocol

from piccolo_fastapi_auth.errors import TemporarilyUnavailableError
from piccolo_fastapi_auth.primitives.bounded_http import BoundedHttp, OutsideError
from piccolo_fastapi_auth.primitives.passwords import normalised

logger = logging.getLogger(__name__)

PREFIX = (
    5  # hexadecimal characters that leave this machine: some hundred thousand passwords begin alike
)
_LINE = re.compile(rb"([0-9A-F]{35}):(\d{1,10})")


class BreachCheck(Protocol):
    """Knows passwords that were stolen somewhere."""

    async def is_breached(self, password: str) -> bool:
        """Say whether a new password is known.

        Raises:
            TemporarilyUnavailableError: It cannot say, and then none may be set.
        """
        ...

    async def aclose(self) -> None:
        """Close what is open; the lifespan calls it."""
        ...


class PwnedPasswords:
    """The range service of Have I Been Pwned, or one that speaks like it (k-anonymity).

    Args:
        on_outage: ``allow`` sets the password when the service does not answer, ``refuse`` answers 503. There is
            no default: somebody should have decided.
        url: What the first five characters of the digest are put behind.
        within: How long the question may take.
        least: How often a password must have been seen.

    Raises:
        ValueError: ``on_outage`` is neither.
    """

    def __init__(
        self,
        *,
        on_outage: Literal["allow", "refuse"],
        url: str = "https://api.pwnedpasswords.com/range/",
        within: timedelta = timedelta(seconds=2),
        least: int = 1,
    ) -> None:
        if on_outage not in {"allow", "refuse"}:
            raise ValueError(f"on_outage is {on_outage!r}; use 'allow' or 'refuse'")
        self._refuses = on_outage == "refuse"
        self._url = url
        self._least = least
        self._http = BoundedHttp(within=within)

    async def is_breached(self, password: str) -> bool:
        """Ask for all digests that begin alike, and look through them here.

        Raises:
            TemporarilyUnavailableError: The service does not answer and ``on_outage`` is ``refuse``.
        """
        form = normalised(password) or password
        digest = hashlib.sha1(form.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            # Padded, so that the length of the answer does not tell the prefix.
            answer = await self._http.get(
                f"{self._url}{digest[:PREFIX]}", headers={"Add-Padding": "true"}
            )
            return _times(answer, digest[PREFIX:].encode()) >= self._least
        except OutsideError as error:
            logger.warning("The breach check does not answer: %s", error)
            if self._refuses:
                raise TemporarilyUnavailableError from None
            return False

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _times(answer: bytes, rest: bytes) -> int:
    """Return how often the digest was seen; lines with 0 are padding.

    Raises:
        OutsideError: This is no list of digests.
    """
    lines = [_LINE.fullmatch(line) for line in answer.split()]
    if not lines or None in lines:
        raise OutsideError("not a list of digests")
    return next((int(line[2]) for line in lines if line and line[1] == rest), 0)
