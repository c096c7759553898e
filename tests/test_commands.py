"""The commands of operators, in this process; tests/accounts/test_operators.py runs some by the real command line."""

import io
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import serialization
from httpx import AsyncClient
from piccolo.conf.apps import Command
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, User, commands
from piccolo_fastapi_auth.audit.tables import AuthEvent
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.piccolo_app import APP_CONFIG
from piccolo_fastapi_auth.primitives.clock import utc_now
from piccolo_fastapi_auth.primitives.jwt_keys import Algorithm, load_keys
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import PASSWORD, SECRET, Person, log_in
from tests.mfa.helpers import enrol

OTHER: Final = "another horse in the pantry"
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``Auth()`` reads."""
    monkeypatch.setenv("PICCOLO_AUTH_SECRET_KEYS", SECRET)


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Say what comes by standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))


def said(output: Output) -> str:
    """The answer; mails are printed, too."""
    return output.readouterr().out.strip()


def test_a_new_secret_is_good_for_the_settings(capsys: Output) -> None:
    """KEY-1: what ``new_key`` prints is accepted as a secret key, and is another each time."""
    made = set[str]()
    for _ in range(3):
        commands.new_key()
        made.add(said(capsys))

    assert len(made) == 3
    for key in made:
        assert AuthSettings(secret_keys=[key]).secrets == [key.encode()]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_new_pair_signs_and_names_itself(algorithm: Algorithm, capsys: Output) -> None:
    """KEY-1: ``new_key`` prints the ``kid``, the private key for ``signing_keys`` and the public one, which fit."""
    commands.new_key(algorithm)
    kid, _, pems = said(capsys).partition("\n")
    private, marker, public = pems.partition("-----BEGIN PUBLIC KEY-----")

    (key,) = load_keys(algorithm, [private.encode()])
    assert kid == f"kid: {key.kid}"
    AuthSettings(secret_keys=[SECRET], algorithm=algorithm, signing_keys=[private])
    loaded = serialization.load_pem_private_key(private.encode(), None).public_key()
    assert loaded == serialization.load_pem_public_key((marker + public).encode())


def test_there_is_no_key_for_another_algorithm() -> None:
    """A misspelt algorithm is told."""
    with pytest.raises(SystemExit, match=r"HS256, RS256 or ES256"):
        commands.new_key("none")


async def test_an_operator_makes_stops_and_lets_in(
    database: Engine[Any], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``create_user``, ``deactivate``, ``activate``, ``set_password``: done, and told in one line."""
    del database
    type_in(monkeypatch, PASSWORD)
    await commands.create_user("root", "root@example.com", superuser=True)
    assert said(capsys) == "root may log in."
    row = await User.objects().first()
    assert row is not None
    assert (row.superuser, row.admin, row.active) == (True, False, True)

    await commands.deactivate("root")
    row = await User.objects().first()
    assert row is not None
    assert not row.active
    await commands.activate("ROOT@example.com")
    row = await User.objects().first()
    assert row is not None
    assert row.active
    type_in(monkeypatch, OTHER)
    await commands.set_password("root")
    assert said(capsys).endswith("root has a new password and is logged out everywhere.")
    auth = Auth()
    assert (await auth.users.check(OTHER, await auth.users.candidate("root"))).matches


async def test_an_operator_is_told_what_is_wrong(
    database: Engine[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and a failure: nobody of that name, a short password, no address."""
    del database
    for refused in (
        commands.deactivate("nobody"), commands.activate("nobody"), commands.mfa_reset("nobody"),
    ):  # fmt: skip
        with pytest.raises(SystemExit, match=r"There is nobody"):
            await refused
    type_in(monkeypatch, "short")
    with pytest.raises(SystemExit, match=r"at least 15"):
        await commands.create_user("root", "root@example.com")
    type_in(monkeypatch, PASSWORD)
    with pytest.raises(SystemExit, match=r"The username or the address"):
        await commands.create_user("root", "no address")
    with pytest.raises(SystemExit, match=r"1 or more"):
        await commands.clean(batch=0)
    assert not await User.exists()


async def test_second_factors_are_reset_and_sealed_anew(
    client: AsyncClient, alice: Person, clock: FrozenClock, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """KEY-1: with a new key in front ``rotate_encryption`` seals every row, after which the old key is not needed."""
    await log_in(client, alice)
    await enrol(client, clock)
    new = "J9v2mXq7RkTbLw4ZpYs8Hd1cGf6uEa3oNiXtRyUqWsD"
    monkeypatch.setenv("PICCOLO_AUTH_SECRET_KEYS", f'["{new}", "{SECRET}"]')

    await commands.rotate_encryption()
    assert "1 rows sealed anew." in said(capsys)
    monkeypatch.setenv("PICCOLO_AUTH_SECRET_KEYS", new)
    await commands.rotate_encryption()
    assert "0 rows sealed anew." in said(capsys)
    await commands.mfa_reset("alice")

    assert "alice has no second factor any more and is logged out everywhere." in said(capsys)
    assert await AuthMfaMethod.count() == await AuthSession.count() == 0


async def test_cleaning_up_keeps_the_trail_but_for_what_is_asked(
    client: AsyncClient, alice: Person, clock: FrozenClock, capsys: Output
) -> None:
    """``clean`` deletes expired sessions and leaves the trail; ``clean_events`` deletes what is older than its days."""
    clock.move(utc_now() - clock() - timedelta(days=100))
    await log_in(client, alice)
    before = await AuthEvent.count()

    await commands.clean()
    assert said(capsys) == "1 sessions, 0 one-time tokens deleted."
    assert await AuthEvent.count() == before
    await commands.clean_events(days=101)
    assert said(capsys).startswith(f"{before - 1} events")
    await commands.clean_events(days=99)
    assert said(capsys) == "1 events deleted."


def test_routes_are_listed_and_a_hole_fails(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUZ-1: every route with what protects it; an unprotected one ends with a failure."""
    program = """
        from typing import Annotated
        from fastapi import Depends, FastAPI
        from piccolo_fastapi_auth import Auth
        auth, app = Auth(), FastAPI()

        @app.get("/mine", dependencies=[Depends(auth.current_user)])
        async def mine() -> None: ...

        good = FastAPI()
        good.include_router(auth.router)

        @app.get("/hole")
        async def hole() -> None: ...
    """
    (tmp_path / "app_of_commands.py").write_text(textwrap.dedent(program))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))

    with pytest.raises(SystemExit, match="1 routes are neither"):
        commands.routes("app_of_commands")
    listed = said(capsys)
    commands.routes("app_of_commands:good")

    assert [line.split() for line in listed.splitlines() if "/mine" in line] == [
        ["GET", "/mine", "current_user"]
    ]
    assert "/auth/login" in said(capsys)


def test_every_command_is_offered_and_tested_here() -> None:
    """A new command must come here; what moves people from Piccolo API is in tests/moving/test_command.py."""
    offered = {one.callable.__name__ for one in APP_CONFIG.commands if isinstance(one, Command)}
    assert offered == {
        "new_key", "create_user", "deactivate", "activate", "set_password", "mfa_reset", "rotate_encryption",
        "clean", "clean_events", "routes", "import_piccolo_api",
    }  # fmt: skip
