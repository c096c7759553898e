"""One question to another service, bounded in time and in bytes; redirects are not followed."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import httpx

MOST_BYTES = 1024 * 1024


class OutsideError(Exception):
    """The other service gave no usable answer; the text says of which kind, and nothing that was sent."""


class BoundedHttp:
    """Asks over HTTP. Connections are kept while one event loop runs.

    Args:
        within: How long one question may take, all in all.
        most_bytes: How long an answer may be.
    """

    def __init__(self, *, within: timedelta, most_bytes: int = MOST_BYTES) -> None:
        self._within = within.total_seconds()
        self._most_bytes = most_bytes
        self._open: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the body of a 200.

        Raises:
            OutsideError: Anything else.
        """
        return await self._ask("GET", url, headers=headers or {}, form=None)

    async def post(self, url: str, form: Mapping[str, str]) -> bytes:
        """Send a form; return the body of a 200.

        Raises:
            OutsideError: Anything else.
        """
        return await self._ask("POST", url, headers={}, form=form)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        opened, self._open = self._open, None
        if opened is not None and opened[0] is asyncio.get_running_loop():
            await opened[1].aclose()

    async def _ask(
        self, method: str, url: str, *, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> bytes:
        # Not compressed: a small answer could otherwise grow past every bound before it is counted.
        plain = {"Accept-Encoding": "identity", **headers}
        try:
            async with (
                asyncio.timeout(self._within),
                self._client().stream(method, url, headers=plain, data=form) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise OutsideError(f"status {answer.status_code}")
                body = bytearray()
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > self._most_bytes:
                        raise OutsideError("too long")
                return bytes(body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise OutsideError(type(error).__name__) from None  # a URL may hold what was asked

    def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._open is None or self._open[0] is not loop:
            self._open = (
                loop,
                httpx.AsyncClient(
                    timeout=self._within, headers={"User-Agent": "piccolo-fastapi-auth"}
                ),
            )
        return self._open[1]
