"""The public keys of an external issuer: fetched with bounds, kept for a while, asked for again with restraint."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from piccolo_fastapi_auth.errors import TemporarilyUnavailableError
from piccolo_fastapi_auth.primitives import foreign_jwt, jws
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.primitives.foreign_jwt import ForeignAlgorithm, PublicKey
from piccolo_fastapi_auth.setting_types import LOCAL_HOSTS

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

Keys = Mapping[str, PublicKey]

KEPT_FOR = timedelta(minutes=5)
"""How long a key that the issuer dropped may go on verifying."""
BETWEEN_FETCHES = timedelta(minutes=1)
AFTER_A_FAILURE = timedelta(seconds=10)
MAX_BYTES = 256 * 1024
SECONDS = 5.0
DISCOVERY = "/.well-known/openid-configuration"


class IssuerKeys:
    """The keys of one issuer, for all requests of a process. One of many waiting requests fetches.

    Raises:
        ValueError: A URL is not https, except on localhost.
    """

    def __init__(
        self,
        issuer: str,
        jwks_url: str | None,
        *,
        algorithms: Sequence[ForeignAlgorithm],
        clock: Clock,
    ) -> None:
        # A fifth of what the package takes to import, and only whoever has an issuer needs it: loaded when one is
        # made, not in the first request, which would hold up the others.
        import httpx  # noqa: PLC0415

        self._httpx = httpx
        self._issuer = _safe(issuer)
        self._jwks_url = None if jwks_url is None else _safe(jwks_url)
        self._algorithms = algorithms
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: Keys = {}
        self._kept_until: datetime | None = None
        self._not_before: datetime | None = None

    async def current(self) -> Keys:
        """Return the keys, from memory if they are not old.

        Raises:
            TemporarilyUnavailableError: They cannot be had.
        """
        if not self._are_good():
            async with self._lock:
                if not self._are_good():
                    await self._fetch()
        return self._keys

    async def newer(self) -> Keys:
        """Return the keys anew, for a token that names one we do not have; at most once a minute.

        Raises:
            TemporarilyUnavailableError: They cannot be had.
        """
        async with self._lock:
            if self._may_fetch():
                await self._fetch()
        return self._keys

    def _are_good(self) -> bool:
        return self._kept_until is not None and self._clock() < self._kept_until

    def _may_fetch(self) -> bool:
        return self._not_before is None or self._clock() >= self._not_before

    async def _fetch(self) -> None:
        now = self._clock()
        if not self._may_fetch():
            raise TemporarilyUnavailableError(retry_after=AFTER_A_FAILURE)
        # Also when this request is cancelled. While old keys are good a failure is no reason to ask more often.
        self._not_before = now + (BETWEEN_FETCHES if self._are_good() else AFTER_A_FAILURE)
        try:
            async with asyncio.timeout(SECONDS):
                keys = await self._download()
        except (
            self._httpx.HTTPError,
            self._httpx.InvalidURL,
            ValueError,
            RecursionError,
            TimeoutError,
        ) as error:
            logger.warning("The keys of %s cannot be had: %s", self._issuer, type(error).__name__)
            raise TemporarilyUnavailableError(retry_after=AFTER_A_FAILURE) from None
        self._keys, self._kept_until = keys, now + KEPT_FOR
        self._not_before = now + BETWEEN_FETCHES

    async def _download(self) -> Keys:
        async with self._httpx.AsyncClient(follow_redirects=False, timeout=SECONDS) as client:
            if self._jwks_url is None:
                self._jwks_url = await self._discovered(client)
            text = await _get(client, self._jwks_url)
        return foreign_jwt.read_keys(text, algorithms=self._algorithms)

    async def _discovered(self, client: "httpx.AsyncClient") -> str:
        """Return where the issuer says that its keys are (OpenID Connect Discovery 1.0 section 4)."""
        text = await _get(client, self._issuer.rstrip("/") + DISCOVERY)
        document = jws.json_object(text)
        if document.get("issuer") != self._issuer:  # section 4.3
            raise ValueError("the document is about another issuer")
        return _safe(str(document.get("jwks_uri")))


async def _get(client: "httpx.AsyncClient", url: str) -> bytes:
    # Not compressed: a bomb would be unpacked before it can be measured.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code != HTTPStatus.OK:
            raise ValueError("not 200")
        text = b""
        async for piece in answer.aiter_raw():
            text += piece
            if len(text) > MAX_BYTES:
                raise ValueError("too large")
        return text


def _safe(url: str) -> str:
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in LOCAL_HOSTS
    if (parts.scheme != "https" and not is_local) or not parts.hostname or parts.username:
        raise ValueError("an issuer and its keys are at https URLs, except on localhost")
    return url
