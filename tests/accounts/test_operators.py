"""What operators do: in the process, and by the real ``piccolo`` command line."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.errors import NotFoundError, PasswordRejectedError, UserExistsError
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import (
    PASSWORD,
    SECRET,
    Browsers,
    People,
    Person,
    bearer,
    get_tokens,
    log_in,
    refresh,
)
from tests.processes import ROOT

OTHER: Final = "another horse in the pantry"


async def open_everything(auth: Auth[User], new_browser: Browsers, alice: Person) -> Any:
    """Give a person a cookie, tokens and a link; return what says which of them still works."""
    cookie, app = new_browser(), new_browser()
    await log_in(cookie, alice)
    tokens = await get_tokens(app, alice)
    link = await auth._parts.one_time_tokens.issue(
        alice.id, purpose="reset", lifetime=timedelta(hours=1), binding="", data={}
    )

    async def works() -> list[bool]:
        return [
            (await cookie.get("/user")).status_code == 200,
            (await app.get("/user", headers=bearer(tokens))).status_code == 200,
            (await refresh(app, tokens["refresh_token"])).status_code == 200,
            await auth._parts.one_time_tokens.attempt(link, purpose="reset", most=9) is not None,
        ]

    return works


async def test_a_deactivated_person_is_out_everywhere(
    auth: Auth[User], new_browser: Browsers, alice: Person
) -> None:
    """Cookie, token, refresh token and link end at once, and stay ended when the person is let in again."""
    works = await open_everything(auth, new_browser, alice)
    assert await works() == [True] * 4

    await auth.operators.set_active("ALICE", active=False)
    assert await works() == [False] * 4
    login = {"username": "alice", "password": PASSWORD}
    assert (await new_browser().post("/auth/login", json=login)).status_code == 401

    await auth.operators.set_active("alice@example.com", active=True)
    assert await works() == [False] * 4
    await log_in(new_browser(), alice)


async def test_a_password_that_is_set_ends_everything(
    auth: Auth[User], new_browser: Browsers, alice: Person
) -> None:
    """The old one no longer works, the new one obeys the policy of everybody (PWD-3)."""
    works = await open_everything(auth, new_browser, alice)
    with pytest.raises(PasswordRejectedError):
        await auth.operators.set_password("alice", "alice@example.com")
    assert await works() == [True] * 4

    await auth.operators.set_password("alice", OTHER)

    assert await works() == [False] * 4
    login = {"username": "alice", "password": PASSWORD}
    assert (await new_browser().post("/auth/login", json=login)).status_code == 401
    await log_in(new_browser(), Person(alice.id, alice.username, alice.email, OTHER))


async def test_operators_are_told_what_is_wrong(auth: Auth[User], alice: Person) -> None:
    """Names that are taken or no good, weak passwords, people who are not there; nothing is half made."""
    operators, mail = auth.operators, "bob@example.com"
    with pytest.raises(UserExistsError):
        await operators.create(username="ALICE", email=mail, password=OTHER, more={})
    with pytest.raises(UserExistsError):
        await operators.create(username="bob", email=alice.email.upper(), password=OTHER, more={})
    with pytest.raises(ValueError, match="look like others"):
        await operators.create(username="ﬁona", email=mail, password=OTHER, more={})
    with pytest.raises(PasswordRejectedError):
        await operators.create(username="bob", email=mail, password="bob", more={})
    with pytest.raises(NotFoundError):
        await operators.set_active("bob", active=False)
    assert await User.count() == 1


async def test_clean_deletes_what_has_expired_and_nothing_else(
    auth: Auth[User], client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """In batches, by eight at once: every dead row is counted by one of them, what is alive stays."""
    tokens = auth._parts.one_time_tokens
    for _ in range(25):
        await log_in(new_browser(), alice)
        await tokens.issue(alice.id, purpose="x", lifetime=timedelta(hours=1), binding="", data={})
    clock.move(timedelta(days=8))  # past the idle time-out
    await log_in(client, alice)
    await tokens.issue(alice.id, purpose="x", lifetime=timedelta(hours=1), binding="", data={})

    counts = await asyncio.gather(*(auth.operators.clean(batch=4) for _ in range(8)))

    assert sum(count["sessions"] for count in counts) == 25
    assert sum(count["one-time tokens"] for count in counts) == 25
    assert await AuthSession.count() == 1
    assert await AuthOneTimeToken.count() == 1
    assert (await client.get("/user")).status_code == 200


CONFIGURATION: Final = """
    from piccolo.conf.apps import AppRegistry
    from piccolo.engine import PostgresEngine, SQLiteEngine
    URL = {url!r}
    DB = (
        SQLiteEngine(path=URL.removeprefix("sqlite:///"), timeout=30)
        if URL.startswith("sqlite:///")
        else PostgresEngine({{"dsn": URL}})
    )
    APP_REGISTRY = AppRegistry(
        apps=["piccolo.apps.user.piccolo_app", "piccolo_fastapi_auth.piccolo_app"]
    )
"""


# What the command ``piccolo`` does, for one line of words after the other: starting Python takes seconds.
PROGRAM: Final = """
    import json, sys
    from piccolo.main import main
    for words in json.loads(sys.argv[1]):
        sys.argv = ["piccolo", "fastapi_auth", *words]
        try:
            main()
        except SystemExit as end:
            print(end.code)
"""


async def test_the_commands_work(
    sign_up: People, new_browser: Browsers, database_url: str, tmp_path: Path, clock: FrozenClock
) -> None:
    """``create_user|set_password|deactivate|activate|clean``; passwords come by standard input."""
    people = [await sign_up(name) for name in ("alice", "bob", "carol", "dave")]
    for person in people[:3]:
        await log_in(new_browser(), person)
    clock.move(timedelta(days=-365))  # what begins now has long expired for the command
    await log_in(new_browser(), people[3])
    configuration = textwrap.dedent(CONFIGURATION.format(url=database_url))
    (tmp_path / "piccolo_conf.py").write_text(configuration)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PICCOLO_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "PICCOLO_CONF": "piccolo_conf",
        "PICCOLO_AUTH_SECRET_KEYS": SECRET,
    }
    typed = {
        ("create_user", "Root", "root@example.com", "--superuser"): PASSWORD,
        ("create_user", "ROOT", "other@example.com"): PASSWORD,
        ("set_password", "alice"): "too short",
        ("set_password", "ALICE@example.com"): OTHER,
        ("deactivate", "bob"): None,
        ("deactivate", "carol"): None,
        ("activate", "Carol"): None,
        ("activate", "nobody"): None,
        ("clean", "--batch=1"): None,
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", textwrap.dedent(PROGRAM), json.dumps(list(typed))],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=50,
        input="".join(f"{line}\n" for line in typed.values() if line),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Root may log in.",
        "That username or e-mail address is taken.",
        "The password must have at least 15 characters.",
        "ALICE@example.com has a new password and is logged out everywhere.",
        "bob is deactivated and logged out everywhere.",
        "carol is deactivated and logged out everywhere.",
        "Carol may log in.",
        "There is nobody of that name.",
        "1 sessions, 0 one-time tokens deleted.",
    ]
    assert await AuthSession.count() == 0
    root = await User.objects().where(User.username == "Root").first()
    assert root is not None
    assert (root.superuser, root.admin, root.active) == (True, False, True)
    statuses = [
        (await new_browser().post("/auth/login", json={"username": name, "password": word})).status_code
        for name, word in (
            ("root", PASSWORD), ("alice", PASSWORD), ("alice", OTHER), ("bob", PASSWORD), ("carol", PASSWORD),
        )
    ]  # fmt: skip
    assert statuses == [200, 401, 200, 401, 200]
