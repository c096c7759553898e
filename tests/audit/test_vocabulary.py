"""The closed list of what can happen, and the value that says it."""

import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.audit.event import ACTIONS, Event, escaped
from tests.docs.pages import DOCS, rows, section


def test_the_list_of_actions_is_the_docs() -> None:
    """AUD-1: every action has its row in the docs, in the code's order, and there is no other row."""
    table = rows(section(DOCS / "how-to" / "audit.md", "What is recorded"))

    assert [row[0].strip("`") for row in table] == list(ACTIONS)


async def test_every_recorded_action_is_one_of_them(auth: Auth[User]) -> None:
    """A hook for an action that cannot happen is refused when it is given, not never called."""
    with pytest.raises(ValueError, match=re.escape("user.vanished")):
        auth.on("user.vanished", print)  # type: ignore[arg-type] # the fault that is tried


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain Ünïcode", "plain Ünïcode", id="kept"),
        pytest.param("a\r\nlevel=INFO b", r"a\r\nlevel=INFO b", id="new line"),
        pytest.param("\x1b[2Jgone", r"\x1b[2Jgone", id="ansi"),
        pytest.param("\u202eevil\u2028", r"\u202eevil\u2028", id="unicode"),
        pytest.param("x" * 300, "x" * 255, id="long"),
    ],
)
def test_text_cannot_forge_a_line(text: str, shown: str) -> None:
    """AUD-4: CR, LF, ANSI and Unicode's own line ends and turns are written out."""
    assert escaped(text) == shown


async def test_an_event_cannot_be_changed_by_a_hook(auth: Auth[User]) -> None:
    """Hooks share one value, so none can change it for the next."""
    seen: list[Event] = []
    auth.on(None, seen.append)
    await auth.events.record("mfa.removed", detail={"factors": "all"})
    detail: Any = seen[0].detail

    with pytest.raises(FrozenInstanceError):
        seen[0].action = "mfa.enrolled"  # type: ignore[misc] # the fault that is tried
    with pytest.raises(TypeError):
        detail["factors"] = "none"
