"""Calling an application in this process: an ASGI scope, and nothing between it and the application."""

import json
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request that can be sent again and again."""

    app: ASGIApp
    path: str = "/"
    method: str = "GET"
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    @classmethod
    def posting(cls, app: ASGIApp, path: str, *, data: Any = None, form: Any = None) -> "Call":
        """A POST with a JSON body or a form."""
        body = json.dumps(data).encode() if form is None else urlencode(form).encode()
        kind = b"application/json" if form is None else b"application/x-www-form-urlencoded"
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        return cls(app, path, "POST", headers, body)


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)

    def cookie(self, name: str) -> bytes:
        """Return ``name=value`` of a cookie that was set."""
        wanted = name.encode() + b"="
        found = (value for key, value in self.headers if key == b"set-cookie")
        return next(value.split(b";")[0] for value in found if value.startswith(wanted))


async def send(call: Call) -> Answer:
    """Send one request and return its answer."""
    answer = Answer()

    async def receive_body() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def take(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = message["headers"]
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.method,
        "path": call.path,
        "raw_path": call.path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "https",
        "headers": [(b"host", b"bench"), *call.headers],
        "client": ("192.0.2.1", 1),
        "server": ("bench", 443),
        "state": {},
    }
    await call.app(scope, receive_body, take)
    return answer


async def expect(call: Call, *statuses: int) -> Answer:
    """Send one request whose answer must have one of ``statuses``."""
    answer = await send(call)
    if answer.status not in statuses:
        raise RuntimeError(f"{call.method} {call.path}: {answer.status} {answer.body[:500]!r}")
    return answer


def bearer(token: str) -> Headers:
    """The header that carries a token."""
    return [(b"authorization", b"Bearer " + token.encode())]


def broken(headers: Headers) -> Headers:
    """The same token with one character of its signature changed: well formed, and signed by nobody."""
    return [(key, value[:-10] + _other(value[-10:-9]) + value[-9:]) for key, value in headers]


def _other(character: bytes) -> bytes:
    return b"A" if character != b"A" else b"B"
