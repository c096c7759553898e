"""What a protected request may cost, counted and not timed, so that a slower way is seen at once on any machine.

``make budget`` records what is measured now; only Python calls have room (``ROOM``), everything else is exact.
The calls are recorded on Python 3.11; later versions need fewer (PEP 709), so the same budget holds there.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from httpx import AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, Principal, User
from tests.fixtures import Person, bearer, get_tokens, log_in
from tests.statements import Statements

BUDGET: Final = Path(__file__).with_name("budget.json")
ROOM: Final = 1.15
REQUESTS: Final = 20
# The event loop's own frames depend on when the database answers, and belong to no request.
NOT_COUNTED: Final = (f"{os.sep}asyncio{os.sep}", f"{os.sep}selectors.py", __file__)

Headers = dict[str, str]


@dataclass(frozen=True)
class Cost:
    """What one request costs beyond a bare endpoint."""

    statements: int
    hops: int
    nodes: int
    calls: int


async def ok() -> Response:
    """The endpoint of all."""
    return Response()


def bare() -> FastAPI:
    """An endpoint behind nothing."""
    app = FastAPI()
    app.get("/")(ok)
    return app


def by_principal(auth: Auth[User]) -> FastAPI:
    """An endpoint that wants to know who asks."""
    app = FastAPI()

    @app.get("/")
    async def endpoint(_: Annotated[Principal, Depends(auth.principal)]) -> Response:
        return Response()

    return app


def by_user(auth: Auth[User]) -> FastAPI:
    """An endpoint that wants the user row."""
    app = FastAPI()

    @app.get("/")
    async def endpoint(_: Annotated[User, Depends(auth.current_user)]) -> Response:
        return Response()

    return app


def installed(auth: Auth[User]) -> FastAPI:
    """The same with the thin middleware."""
    app = by_user(auth)
    auth.install(app)
    return app


def limited(auth: Auth[User]) -> FastAPI:
    """An endpoint with a rate limit and nothing else."""
    app = FastAPI()
    app.get("/", dependencies=[Depends(auth.rate_limit("1000000/minute"))])(ok)
    return app


WAYS: Final[dict[str, tuple[Callable[[Auth[User]], FastAPI], str, int]]] = {
    "token": (by_principal, "token", 200),
    "token, refused": (by_principal, "bad token", 401),
    "token and user": (by_user, "token", 200),
    "session cookie": (by_user, "cookie", 200),
    "session cookie, installed": (installed, "cookie", 200),
    "session cookie, unknown": (by_user, "bad cookie", 401),
    "API key": (by_user, "key", 200),
    "API key, misspelt": (by_user, "bad key", 401),
    "nothing, refused": (by_user, "nothing", 401),
    "rate limit": (limited, "nothing", 200),
}


@pytest.fixture
async def credentials(client: AsyncClient, alice: Person) -> dict[str, Headers]:
    """What each way presents."""
    token = bearer(await get_tokens(client, alice))
    cookie = (await log_in(client, alice)).cookies["__Host-session"]
    made = await client.post("/auth/api-keys", json={"name": "budget"})
    key = made.json()["key"]
    return {
        "token": token,
        "bad token": {"Authorization": _altered(token["Authorization"], at=-10)},
        "cookie": {"Cookie": f"__Host-session={cookie}"},
        "bad cookie": {"Cookie": f"__Host-session={_altered(cookie, at=0)}"},
        "key": {"X-API-Key": key},
        "bad key": {"X-API-Key": _altered(key, at=-10)},
        "nothing": {},
    }


def _altered(text: str, *, at: int) -> str:
    """Change one character, and not the last, in which some bits may have to be zero."""
    letters = list(text)
    letters[at] = "A" if letters[at] != "A" else "B"
    return "".join(letters)


async def test_a_protected_request_stays_within_its_budget(
    statements: Statements,
    database: Engine[Any],
    auth: Auth[User],
    credentials: dict[str, Headers],
) -> None:
    """Statements, thread hops, dependency nodes and Python calls of each way, against what was recorded."""
    kind = database.engine_type
    free = await _calls(bare(), {}, 200)
    found = {}
    for way, (make, credential, status) in WAYS.items():
        app, headers = make(auth), credentials[credential]
        calls = await _calls(app, headers, status)
        statements.clear()
        hops = await _hops(app, headers, status)
        found[way] = Cost(len(statements), hops, _nodes(app), calls - free)

    if os.environ.get("RECORD_BUDGET"):
        _record(kind, found)
    budget = {way: Cost(**cost) for way, cost in json.loads(BUDGET.read_text())[kind].items()}
    assert budget.keys() == found.keys()
    assert {way: _exact(cost) for way, cost in found.items()} == {
        way: _exact(cost) for way, cost in budget.items()
    }
    dearer = {
        way: (cost.calls, budget[way].calls)
        for way, cost in found.items()
        if cost.calls > budget[way].calls * ROOM
    }
    assert dearer == {}, "more Python calls than recorded; if they are worth it: make budget"


def _exact(cost: Cost) -> tuple[int, int, int]:
    return cost.statements, cost.hops, cost.nodes


def _record(kind: str, found: dict[str, Cost]) -> None:
    known = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    known[kind] = {way: asdict(cost) for way, cost in found.items()}
    BUDGET.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")


async def _send(app: FastAPI, headers: Headers, status: int) -> None:
    """Call the application with nothing in between, neither a client nor a socket."""
    seen: list[int] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "scheme": "https",
        "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
        "client": ("192.0.2.1", 1),
        "server": ("app.test", 443),
        "state": {},
    }
    await app(scope, receive, send)
    assert seen == [status]


async def _calls(app: FastAPI, headers: Headers, status: int) -> int:
    """Return the Python calls of a request, once everything is warm."""
    for _ in range(3):
        await _send(app, headers, status)
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            counts[frame.f_code.co_filename] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for _ in range(REQUESTS):
            await _send(app, headers, status)
    finally:
        sys.setprofile(before)
    theirs = sum(n for name, n in counts.items() if not any(part in name for part in NOT_COUNTED))
    return round(theirs / REQUESTS)


async def _hops(app: FastAPI, headers: Headers, status: int) -> int:
    """Return how often another thread gave a request back to the event loop."""
    loop = asyncio.get_running_loop()
    hand_over = loop.call_soon_threadsafe
    hops = 0

    def count(*arguments: Any, **options: Any) -> asyncio.Handle:
        nonlocal hops
        hops += 1
        return hand_over(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_soon_threadsafe", count)
        await _send(app, headers, status)
    return hops


def _nodes(app: FastAPI) -> int:
    """Return how many dependencies stand before the endpoint."""

    def below(dependant: Dependant) -> int:
        return sum(1 + below(node) for node in dependant.dependencies)

    return sum(below(route.dependant) for route in app.routes if isinstance(route, APIRoute))
