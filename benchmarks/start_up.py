"""What an import costs, which packages it loads, and how long an application takes to its first answer."""

import importlib.util
import random  # noqa: TID251 - the order of variants, no secret
import statistics
import subprocess
import sys

from benchmarks.peer import SECRET
from benchmarks.report import ROOT, Run

ROUNDS, QUICK_ROUNDS = 9, 1
FRAMEWORK = "import fastapi, piccolo.table, pydantic_settings"
IMPORTS = {
    "fastapi": "import fastapi",
    "fastapi, Piccolo, pydantic-settings": FRAMEWORK,
    "ours": "import piccolo_fastapi_auth",
    "ours, once those are loaded": "import piccolo_fastapi_auth",
    "fastapi-users with SQLAlchemy": "import fastapi_users, fastapi_users.db, fastapi_users.authentication",
    "crudauth": "import crudauth",
    "authx": "import authx",
    "fastapi-login": "import fastapi_login",
    "piccolo-api, JWT and sessions": (
        "import piccolo_api.jwt_auth.middleware, piccolo_api.jwt_auth.endpoints,"
        " piccolo_api.session_auth.middleware, piccolo_api.session_auth.endpoints"
    ),
    "slowapi": "import slowapi",
}
BEFORE = {"ours, once those are loaded": FRAMEWORK}
OPTIONAL = (
    "aiosqlite", "asyncpg", "aiosmtplib", "redis", "valkey", "coredis", "jinja2", "zxcvbn", "segno", "httpx",
    "uvicorn", "ecdsa",
)  # fmt: skip
TIMED = """
import sys
{before}
from time import perf_counter
begun, known = perf_counter(), len(sys.modules)
{statement}
print((perf_counter() - begun) * 1000, len(sys.modules) - known)
print(*(name for name in {optional!r} if name in sys.modules))
"""
FIRST_ANSWER = f"""
import asyncio
from time import perf_counter
from fastapi import Depends, FastAPI
from benchmarks.asgi import Call, send
from piccolo_fastapi_auth import Auth, AuthSettings
begun = perf_counter()
auth = Auth(AuthSettings(secret_keys=[{SECRET!r}]))
made = perf_counter()
app = FastAPI()
app.include_router(auth.router)
app.get("/", dependencies=[Depends(auth.principal)])(lambda: None)
auth.install(app)
included = perf_counter()
assert asyncio.run(send(Call(app))).status == 401
first = perf_counter()
app.openapi()
print(*((b - a) * 1000 for a, b in ((begun, made), (made, included), (included, first), (first, perf_counter()))))
"""


async def main(run: Run) -> None:
    """Start Python again and again."""
    rounds = QUICK_ROUNDS if run.quick else ROUNDS
    names = [name for name, statement in IMPORTS.items() if _is_there(statement)]
    run.expect(rounds * (len(names) + 1))
    times: dict[str, list[float]] = {name: [] for name in names}
    loaded: dict[str, tuple[str, str]] = {}
    phases: list[list[float]] = []
    for _ in range(rounds):
        for name in random.sample(names, len(names)):
            program = TIMED.format(
                before=BEFORE.get(name, ""), statement=IMPORTS[name], optional=OPTIONAL
            )
            first, *rest = _python(program).splitlines()
            taken, count = first.split()
            times[name].append(float(taken))
            loaded[name] = (count, ", ".join(rest[0].split()) if rest else "")
            run.step()
        phases.append([float(one) for one in _python(FIRST_ANSWER).split()])
        run.step()
    run.findings.table(
        "Import",
        ["", "ms", "modules", "of the optional packages"],
        [
            [name, f"{statistics.median(times[name]):.0f}", loaded[name][0], loaded[name][1] or "none"]
            for name in names
        ],
        note="Piccolo imports asyncpg wherever it is installed.",
    )  # fmt: skip
    medians = [statistics.median(one) for one in zip(*phases, strict=True)]
    steps = ("`Auth(...)`", "routers and `install`", "the first request", "the OpenAPI document")
    run.findings.table(
        "From the import to the first answer",
        ["", "ms"],
        [[step, f"{taken:.0f}"] for step, taken in zip(steps, medians, strict=True)],
    )


def _is_there(statement: str) -> bool:
    modules = statement.removeprefix("import ").split(", ")
    return all(importlib.util.find_spec(module.partition(".")[0]) for module in modules)


def _python(program: str) -> str:
    done = subprocess.run(  # noqa: S603 - the programs above
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout
