"""``piccolo fastapi_auth import_piccolo_api``, by the real command line; how keys and zones are given."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from piccolo.columns import UUID
from piccolo_api.encryption.providers import XChaCha20Provider

from piccolo_fastapi_auth import Auth, AuthUser, User
from piccolo_fastapi_auth.api_keys.moved import MovedKeys
from piccolo_fastapi_auth.mfa.moved import MovedFactors
from piccolo_fastapi_auth.moving.decryption import NotDecryptedError, decryption
from piccolo_fastapi_auth.moving.movers import SessionMover
from piccolo_fastapi_auth.moving.progress import progress_bar
from piccolo_fastapi_auth.moving.service import PiccoloApiImport
from piccolo_fastapi_auth.sessions.moved import MovedSessions
from piccolo_fastapi_auth.testing import FrozenClock
from tests.accounts.test_operators import CONFIGURATION, PROGRAM
from tests.fixtures import SECRET, People
from tests.moving.helpers import PROVIDERS, fill, local, old_session
from tests.processes import ROOT


@pytest.mark.usefixtures("old_tables")
async def test_the_command_says_what_it_does(
    sign_up: People, database_url: str, tmp_path: Path
) -> None:
    """A dry run, the run, and another one; an option that is misspelt moves nothing."""
    now = datetime.now().astimezone()  # noqa: TID251 - the command has no other clock
    await fill((await sign_up("alice")).id, now, "fernet")
    await old_session(99, now)
    configuration = textwrap.dedent(CONFIGURATION.format(url=database_url))
    (tmp_path / "piccolo_conf.py").write_text(configuration)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PICCOLO_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "PICCOLO_CONF": "piccolo_conf",
        "PICCOLO_AUTH_SECRET_KEYS": SECRET,
        "OLD_KEY": PROVIDERS["fernet"][1],
    }
    right = [
        "import_piccolo_api",
        "--timezone=Asia/Tokyo",
        "--encryption=fernet",
        "--key_env=OLD_KEY",
    ]
    typed = [
        ["import_piccolo_api", "--timezone=Asia/Nowhere"],
        ["import_piccolo_api", "--encryption=rot13"],
        ["import_piccolo_api", "--encryption=fernet"],
        ["import_piccolo_api", "--encryption=fernet", "--key_env=OTHER_KEY"],
        ["import_piccolo_api", "--batch=0"],
        [*right, "--dryrun"],
        [*right, "--dry-run"],
        right,
        [*right, "--batch=1"],
    ]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", textwrap.dedent(PROGRAM), json.dumps(typed)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    moved = [
        "sessions: 1 moved.",
        "  1 not moved: there is no such person.",
        "token_auth: 1 moved.",
        "authenticator_secret: 1 moved.",
        "  3 recovery codes moved.",
    ]
    assert done.stdout.splitlines() == [
        "There is no time zone 'Asia/Nowhere'.",
        "Choose plain, fernet or xchacha20.",
        "fernet needs its key.",
        "The environment has no OTHER_KEY.",
        "batch must be 1 to 10000",
        "There is no option --dryrun.",
        "Nothing was moved; without --dry-run:",
        *moved,
        *moved,
        "sessions: 0 moved, 1 were moved before.",
        "  1 not moved: there is no such person.",
        "token_auth: 0 moved, 1 were moved before.",
        "authenticator_secret: 0 moved, 1 were moved before.",
    ]


def test_keys_of_bytes_may_be_written_in_three_ways() -> None:
    """Hex, base64 and base64url; whatever else is refused without repeating it."""
    key = b"\xfb\xef" * 16
    sealed = XChaCha20Provider(key).encrypt("JBSWY3DPEHPK3PXP")

    for written in (key.hex(), base64.b64encode(key), base64.urlsafe_b64encode(key)):
        text = written if isinstance(written, str) else written.decode()
        assert decryption("xchacha20", text)(sealed) == "JBSWY3DPEHPK3PXP"
    for wrong in (key[1:].hex(), "é", "x" * 43):
        with pytest.raises(ValueError, match="32 bytes") as caught:
            decryption("xchacha20", wrong)
        assert wrong not in str(caught.value)


@pytest.mark.parametrize("encryption", PROVIDERS)
@pytest.mark.parametrize(
    "stored", ["", "plain", "xchacha20-zz", "xchacha20-", "fernet-é", "rot13-x"]
)
def test_what_does_not_open_is_refused(encryption: str, stored: str) -> None:
    """Never an exception of a library, which might say what it was given."""
    decrypt = decryption(encryption, PROVIDERS[encryption][1])  # type: ignore[index,arg-type] # one of the three

    with pytest.raises(NotDecryptedError):
        decrypt(stored)


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-10-25 02:30", "2026-10-25T01:30:00+00:00"),  # comes twice: the later one
        ("2026-03-29 02:30", "2026-03-29T00:30:00+00:00"),  # never comes
        ("2026-07-01 12:00", "2026-07-01T10:00:00+00:00"),
        ("2026-01-01 12:00", "2026-01-01T11:00:00+00:00"),
    ],
)
async def test_local_times_around_a_change_of_the_clocks(
    auth: Auth[User], written: str, utc: str, clock: FrozenClock
) -> None:
    """The old session was good until the hour had come twice, so it is here."""
    mover = SessionMover(
        MovedSessions(auth._parts.database, auth.settings, clock=clock), ZoneInfo("Europe/Berlin")
    )

    assert mover._moment(datetime.fromisoformat(written)).isoformat() == utc


async def test_a_time_that_has_a_zone_keeps_it(auth: Auth[User], clock: FrozenClock) -> None:
    """Some made their own table with ``Timestamptz``."""
    mover = SessionMover(MovedSessions(auth._parts.database, auth.settings, clock=clock), None)

    assert mover._moment(clock()) == clock()
    assert mover._moment(local(clock()).replace(tzinfo=ZoneInfo("Asia/Tokyo"))) == clock()


def test_progress_is_shown_at_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe gets nothing of it, and neither does somebody without rich."""
    with progress_bar() as show:
        show("sessions", 1000, 2000)
    assert capsys.readouterr() == ("", "")

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar() as show:
        show("sessions", 1000, 2000)
        show("sessions", 2000, 2000)
    assert "2000/2000" in capsys.readouterr().err

    monkeypatch.setitem(sys.modules, "rich.console", None)
    with progress_bar() as show:
        show("sessions", 1000, 2000)
    assert capsys.readouterr() == ("", "")


class Member(AuthUser, tablename="member"):
    """Somebody whose key is a UUID."""

    id = UUID(primary_key=True)  # type: ignore[assignment] # Piccolo says that it is a number


async def test_people_are_found_by_any_kind_of_key(auth: Auth[User]) -> None:
    """An old table without a foreign key may have written it as text; what cannot be a key is nobody's."""
    parts = auth._parts
    members = PiccoloApiImport(
        parts.database,
        Member,
        sessions=MovedSessions(parts.database, auth.settings, clock=auth.clock),
        keys=MovedKeys(parts.database, auth.settings, clock=auth.clock),
        factors=MovedFactors(parts.database, parts.states),
        hold_unchanged=parts.users.hold_unchanged,
        clock=auth.clock,
    )
    key = uuid4()

    assert [auth.moving._as_key(one) for one in (7, "7", "x", None)] == [7, 7, None, None]
    assert [members._as_key(one) for one in (key, str(key), 7, None)] == [key, key, None, None]
