"""What mails say, and how an application says it otherwise."""

from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from piccolo_fastapi_auth import Auth, AuthSettings
from piccolo_fastapi_auth.mail.links import LinkError, Links
from piccolo_fastapi_auth.mail.templates import (
    MAILS,
    MailTemplateError,
    MailTemplates,
    Value,
    in_words,
)
from tests.fixtures import ORIGIN, SECRET

VALUES: Final[dict[str, Value]] = {
    "link": "https://app.test/?a=1&b=<script>", "lifetime": timedelta(hours=24), "code": "123456",
    "change": "codes_regenerated", "origin": ORIGIN, "site": "app.test",
}  # fmt: skip


@pytest.mark.parametrize("name", MAILS)
def test_every_mail_has_all_its_parts(name: str) -> None:
    """A subject of one line, a text, and HTML that escapes what it is given and loads nothing from anywhere."""
    subject, text, html = MailTemplates().render(name, VALUES)

    assert 0 < len(subject) < 60
    assert ("code" in MAILS[name][1]) == ("123456" in text)
    assert ("link" in MAILS[name][1]) == (str(VALUES["link"]) in text)
    assert "<script>" not in html
    assert "<img" not in html
    assert "{" not in subject + text + html


@pytest.mark.parametrize("as_folder", [False, True])
def test_an_application_replaces_one_part(as_folder: bool, tmp_path: Path) -> None:  # noqa: FBT001 - pytest's
    """The others stay ours."""
    own = {"reset_password.subject": "Neues Passwort für {{ site }}"}
    if as_folder:
        (tmp_path / "reset_password.subject").write_text(own["reset_password.subject"])
    templates = MailTemplates(tmp_path if as_folder else own)

    subject, text, _ = templates.render("reset_password", VALUES)

    assert subject == "Neues Passwort für app.test"
    assert "asked for a new password" in text
    assert templates.render("invitation", VALUES)[0] == "You are invited"


def test_a_language_is_looked_for_first() -> None:
    """And what it lacks is said in the default one."""
    templates = MailTemplates({"reset_password.de.subject": "Neues Passwort"})

    assert templates.render("reset_password", VALUES, language="de")[0] == "Neues Passwort"
    assert templates.render("reset_password", VALUES, language="fr")[0] == "Choose a new password"
    assert templates.render("reset_password", VALUES)[0] == "Choose a new password"


def test_a_subject_is_one_line() -> None:
    """EML-6: a value with a line break adds no header."""
    templates = MailTemplates({"reset_password.subject": "{{ link }}"})

    assert templates.render("reset_password", {**VALUES, "link": "a\r\nBcc: b"})[0] == "a Bcc: b"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("reset_password.txt", "{{ lnik }}"),
        ("reset_password.html", "{% if %}"),
        ("resetpassword.txt", "hello"),
        ("reset_password.md", "hello"),
    ],
)
def test_a_template_that_cannot_work_stops_the_start(name: str, text: str) -> None:
    """Not the first request that needs it."""
    with pytest.raises(MailTemplateError, match=name.partition(".")[0]):
        Auth(AuthSettings(secret_keys=[SECRET]), mail_templates={name: text})


def test_durations_are_said_in_words() -> None:
    """In the largest unit that is not one day."""
    said = [in_words(timedelta(seconds=seconds)) for seconds in (30, 600, 3600, 86_400, 604_800)]

    assert said == ["30 seconds", "10 minutes", "1 hour", "24 hours", "7 days"]


def links(origin: str | None = ORIGIN, urls: dict[str, str] | None = None) -> Links:
    return Links(AuthSettings(secret_keys=[SECRET], public_origin=origin, prefix="/api/auth"), urls)


def test_links_lead_to_the_public_origin() -> None:
    """HST-1: to our page, or to the application's where it has one."""
    own = {
        "reset_password": "/new-password?t={token}",
        "invitation": "https://b.test/{purpose}#{token}",
    }
    made = links(urls=own)

    assert made.make("magic_link", "a-b_c&d") == (
        f"{ORIGIN}/api/auth/confirm?purpose=magic_link&token=a-b_c%26d"
    )
    assert made.make("reset_password", "abc") == f"{ORIGIN}/new-password?t=abc"
    assert made.make("invitation", "abc") == "https://b.test/invitation#abc"


@pytest.mark.parametrize(
    "url",
    [
        "/page",
        "//evil.test/{token}",
        "http://b.test/{token}",
        "b.test/{token}",
        "javascript:{token}",
    ],
)
def test_a_link_that_cannot_work_stops_the_start(url: str) -> None:
    """Without a token, or not https."""
    with pytest.raises(LinkError, match="reset_password"):
        links(urls={"reset_password": url})


def test_a_feature_that_mails_links_needs_an_origin() -> None:
    """HST-1: it refuses to start, and says what to set."""
    lacking = links(origin=None, urls={"invitation": "https://b.test/{token}"})

    lacking.require("invitations", "invitation")
    with pytest.raises(LinkError, match="PICCOLO_AUTH_PUBLIC_ORIGIN"):
        lacking.require("e-mail verification", "verify_email")
    with pytest.raises(LinkError, match="PICCOLO_AUTH_PUBLIC_ORIGIN"):
        lacking.make("verify_email", "abc")
    with pytest.raises(LinkError, match="public_origin"):
        links(origin=None, urls={"invitation": "/page?t={token}"})
