"""What mails say: Jinja2 templates in the package, each replaceable by the application's own.

A mail ``reset_password`` is made of ``reset_password.subject`` (one line), ``reset_password.txt`` and
``reset_password.html``. An application's file of the same name replaces ours, one by one; with a language,
``reset_password.de.txt`` is looked for first.
"""

from collections.abc import Mapping
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import Final

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    DictLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    select_autoescape,
)

Value = str | timedelta
Overrides = str | PathLike[str] | Mapping[str, str]

# The subject of each mail, and which values it is given beside `origin` and `site`. None is what a stranger
# typed: whoever signs up with somebody else's address must not be able to write to them.
MAILS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "verify_email": ("Confirm your e-mail address", ("link", "lifetime")),
    "already_registered": ("You already have an account", ()),
    "reset_password": ("Choose a new password", ("link", "lifetime")),
    "password_changed": ("Your password was changed", ()),
    "change_email": ("Confirm your new e-mail address", ("link", "lifetime")),
    "email_changed": ("Your e-mail address was changed", ("link", "lifetime")),
    "invitation": ("You are invited", ("link", "lifetime")),
    "magic_link": ("Your link to log in", ("link", "lifetime")),
    "email_code": ("Your code to log in", ("code", "lifetime")),
    "mfa_changed": ("Your two-step log-in was changed", ("change",)),
    "account_deleted": ("Your account was deleted", ()),
}
MFA_CHANGES: Final = ("added", "removed", "disabled", "codes_regenerated")
_SAMPLES: Final[Mapping[str, Value]] = {
    "link": "https://app.example.com/", "code": "123456", "change": "added", "lifetime": timedelta(hours=1),
    "origin": "https://app.example.com", "site": "app.example.com",
}  # fmt: skip
_PARTS: Final = ("subject", "txt", "html")


class MailTemplateError(ValueError):
    """A template of the application is no good, or has a name that no mail asks for."""


class MailTemplates:
    """The templates of one ``Auth``.

    Args:
        overrides: The application's own templates: a folder, or texts by file name.

    Raises:
        MailTemplateError: One of them cannot be rendered.
    """

    def __init__(self, overrides: Overrides | None = None) -> None:
        shipped: list[BaseLoader] = [
            DictLoader({f"{name}.subject": subject for name, (subject, _) in MAILS.items()}),
            FileSystemLoader(Path(__file__).parent / "templates"),
        ]
        own: list[BaseLoader] = []
        if isinstance(overrides, Mapping):
            own = [DictLoader(overrides)]
        elif overrides is not None:
            own = [FileSystemLoader(overrides)]
        self._environment = Environment(
            loader=ChoiceLoader([*own, *shipped]),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["duration"] = in_words
        for name in own[0].list_templates() if own else ():
            self._check(name)

    def render(
        self, name: str, values: Mapping[str, Value], *, language: str | None = None
    ) -> tuple[str, str, str]:
        """Return the subject, the text and the HTML of a mail.

        Raises:
            KeyError: There is no such mail, or a value is missing.
        """
        missing = set(MAILS[name][1]) - set(values)
        if missing:
            raise KeyError(f"the mail {name} lacks {sorted(missing)}")
        subject, text, html = (
            self._environment.select_template(_names(name, part, language)).render(values)
            for part in _PARTS
        )
        return " ".join(subject.split()), text, html

    def _check(self, file: str) -> None:
        """Render an application's template once with sample values, so that it fails at the start, not in a request."""
        name, *_, part = file.split(".")
        if name not in MAILS or part not in _PARTS:
            if name.startswith("_"):
                return  # a layout, which others extend
            raise MailTemplateError(f"no mail asks for the template {file!r}")
        try:
            self._environment.get_template(file).render(_SAMPLES)
        except TemplateError as error:
            raise MailTemplateError(f"the template {file!r} is no good: {error}") from error


def _names(name: str, part: str, language: str | None) -> list[str]:
    return [f"{name}.{language}.{part}", f"{name}.{part}"] if language else [f"{name}.{part}"]


def in_words(duration: timedelta) -> str:
    """Return a duration as people say it: "15 minutes", "24 hours", "7 days"."""
    seconds = round(duration.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (seconds == length and unit != "day"):
            count = seconds // length
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"
