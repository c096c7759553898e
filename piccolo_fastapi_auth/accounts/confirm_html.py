"""The look of the page behind links in mails: one form, no script, nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from piccolo_fastapi_auth.accounts.links import CHANGE, INVITATION, MAGIC, RESET, UNDO, VERIFY

STYLE: Final = (
    "main{max-width:28rem;margin:4rem auto;padding:0 1rem;font-family:sans-serif;line-height:1.5}"
    "label{display:block;margin:1rem 0}input:not([type=radio]){display:block;width:100%;font-size:1rem}"
    "button{font-size:1rem;padding:.5rem 1rem}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the address of the page holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    name: str
    label: str
    type: str
    autocomplete: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """What is asked for before a link is used up, and what is said afterwards."""

    title: str
    button: str
    done: str
    text: str = ""
    fields: Sequence[Field] = ()


SECOND_STEP: Final = "mfa"
_NEW_PASSWORD: Final = Field("password", "New password", "password", "new-password")
PAGES: Final[Mapping[str, Page]] = {
    VERIFY: Page(
        "Confirm your e-mail address", "Confirm", "Your address is confirmed.",
        "If you signed up in another browser, type the password that you chose there; otherwise it ends, and you "
        "choose a new one.",
        [Field("password", "Password", "password", "current-password", required=False)],
    ),
    CHANGE: Page("Use this address", "Use this address", "Your address was changed."),
    UNDO: Page("Take the change back", "Take it back", "Your account has its old address again."),
    RESET: Page(
        "Choose a new password", "Set the password", "Your password was changed. You can log in with it.", "",
        [_NEW_PASSWORD],
    ),
    MAGIC: Page("Log in", "Log in", "You are logged in."),
    INVITATION: Page(
        "Make your account", "Sign up", "Your account is ready. You can log in.", "",
        [
            Field("username", "Username", "text", "username"),
            Field("email", "E-mail address, as it was invited", "email", "email"),
            _NEW_PASSWORD,
        ],
    ),
    SECOND_STEP: Page(
        "Second step", "Log in", "You are logged in.", "",
        [Field("code", "Code", "text", "one-time-code")],
    ),
}  # fmt: skip

_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def form(
    purpose: str,
    token: str,
    *,
    next_path: str | None,
    problem: str = "",
    methods: Sequence[str] = (),
    status: int = 200,
) -> HTMLResponse:
    """Return the page that asks before a link is used up."""
    page = PAGES[purpose]
    return _html(
        status, title=page.title, text=page.text, button=page.button, fields=page.fields, problem=problem,
        purpose=purpose, token=token, next=next_path, methods=methods,
    )  # fmt: skip


def message(title: str, *, status: int = 200) -> HTMLResponse:
    """Return a page that only says something."""
    return _html(status, title=title)


def _html(status: int, **values: object) -> HTMLResponse:
    empty = dict.fromkeys(
        ("text", "button", "fields", "problem", "purpose", "token", "next", "methods"), ""
    )
    template = _ENVIRONMENT.get_template("confirm.html")
    html = template.render({**empty, "style": STYLE, **values})
    return HTMLResponse(html, status, headers=HEADERS)
