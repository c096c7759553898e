"""An application that takes tokens of one issuer, and an HTTP server that answers as it is told."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from fastapi import FastAPI
from jose import jws

from piccolo_fastapi_auth import Auth, AuthSettings, ExternalIssuer, User
from piccolo_fastapi_auth.primitives.jwt_keys import Algorithm, load_keys, new_pem
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import SCOPES, make_app

AUDIENCE: Final = "https://api.test"
JWKS: Final = "/keys"
DISCOVERY: Final = "/.well-known/openid-configuration"


async def user_of(claims: Mapping[str, object]) -> User | None:
    """Find the person by their username."""
    return await User.objects().where(User.username == str(claims["sub"])).first()


def app_with(issuer: ExternalIssuer[User], settings: AuthSettings, clock: FrozenClock) -> FastAPI:
    """An application with this backend; everybody holds every scope."""
    return make_app(
        Auth(
            settings, clock=clock, hasher=fast_hasher(), scopes=SCOPES, scopes_of=lambda _: list(SCOPES),
            backends=[issuer],
        )
    )  # fmt: skip


class Key:
    """A key pair of an issuer."""

    def __init__(self, algorithm: Algorithm = "ES256") -> None:
        self.algorithm, self.pem = algorithm, new_pem(algorithm).decode()
        (loaded,) = load_keys(algorithm, [self.pem.encode()])
        self.kid = str(loaded.kid)
        self.jwk = {**loaded.public_members, "kid": self.kid, "use": "sig", "alg": algorithm}

    def sign(self, claims: Mapping[str, object], **header: Any) -> str:
        """Sign whatever it is told to."""
        return str(
            jws.sign(
                dict(claims),
                self.pem,
                headers={"kid": self.kid, **header},
                algorithm=self.algorithm,
            )
        )


@dataclass
class Site:
    """What a server answers, by path: a status, headers and a body. It counts who asks."""

    url: str = ""
    pages: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    silent: threading.Event | None = None

    def publish(self, *keys: Key, path: str = JWKS) -> None:
        """Show these keys, and where they are."""
        self.page(path, {"keys": [key.jwk for key in keys]})
        self.page(DISCOVERY, {"issuer": self.url, "jwks_uri": f"{self.url}{path}"})

    def page(self, path: str, body: object, status: int = 200, **headers: str) -> None:
        """Answer this at a path from now on."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.pages[path] = (status, headers, text)

    def claims(self, now: datetime, **changes: object) -> dict[str, object]:
        """Good claims, with changes; ``None`` leaves a claim out."""
        good = {
            "iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=5)).timestamp()), **changes,
        }  # fmt: skip
        return {name: value for name, value in good.items() if value is not None}


@contextmanager
def serving() -> Iterator[Site]:
    """Run a server on this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            if site.silent is not None:
                site.silent.wait(30)
                return
            status, headers, body = site.pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        if site.silent is not None:
            site.silent.set()
        server.shutdown()
        thread.join()
        server.server_close()
