"""The page behind links in mails: opening it uses nothing up, sending its form does; it leads nowhere but here."""

import re
from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote

import pytest
from httpx import AsyncClient, Response

from piccolo_fastapi_auth import AuthSettings, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.primitives.redirects import safe_path
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.accounts.helpers import GUEST, KINDS, NEW_PASSWORD, Kind, Post, World
from tests.fixtures import PASSWORD, Browsers, Person, log_in
from tests.mfa.helpers import credentials_in, enrol

EVIL: Final = (
    "//evil.example", "/\\evil.example", "\\/evil.example", "https:evil.example", "https://evil.example", "http:/evil",
    "/%2f%2fevil.example", "%2f%2fevil.example", "/%5cevil.example", "/\t/evil.example", "/\r\nSet-Cookie: a=b",
    "\t//evil.example", " //evil.example", "javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x",
    "/.//evil.example", "/..//evil.example", "/a/../../evil", "/a//evil.example", "https://app.test@evil.example",
    "//app.test@evil.example", "https://app.test.evil.example", "https://xn--pp-gza.test", "https://\u0430pp.test/",
    "///evil.example", "////evil.example", "/%09/evil.example", "/%0d%0aSet-Cookie:a=b", "/\x00", "/é", "/\u202e", "",
    "evil", "?next=//evil.example", "#x", "/x#//evil", "/" + "x" * 3000, "https:///evil.example", "/\u2028", "/ x",
    "//evil%E3%80%82example", "/%2F/evil.example", "/;@evil.example\\", "https://app.test:443@evil.example",
)  # fmt: skip
GOOD: Final = (
    "/",
    "/welcome",
    "/a/b?c=d&e=%20f",
    "/search?q=//x",
    "/@alice",
    "/a;b=c",
    "/.well-known/x",
)
FIELDS: Final = {
    "reset": {"password": NEW_PASSWORD},
    "invitation": {"username": "guest", "email": GUEST, "password": PASSWORD},
}
# What a browser says of a form that a page of the same site sends.
SAME_ORIGIN: Final = {"sec-fetch-site": "same-origin", "origin": "null"}


class _Form(HTMLParser):
    """Reads the one form of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.asked: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag == "form":
            self.action = values["action"]
        if tag == "input" and values["type"] == "hidden":
            self.hidden[values["name"]] = values["value"]
        elif tag == "input":
            self.asked.append(values["name"])


@pytest.fixture
async def world(client: AsyncClient, new_browser: Browsers, alice: Person, post: Post) -> World:
    """Alice is signed in."""
    await log_in(client, alice)
    return World(client, new_browser(), alice, post)


async def open_and_send(
    client: AsyncClient, link: str, *, next_path: str | None = None, **typed: str
) -> Response:
    """Do what a person does: open the link, fill the form in, press the button."""
    page = await client.get(link if next_path is None else f"{link}&next={quote(next_path)}")
    form = _Form(page.text)
    assert form.action == "confirm"
    return await client.post("/auth/confirm", data={**form.hidden, **typed}, headers=SAME_ORIGIN)


@pytest.mark.parametrize("name", KINDS)
async def test_opening_uses_nothing_up_and_sending_does(world: World, name: str) -> None:
    """EML-2: a scanner may GET and HEAD as it likes; the person after it still gets through, once."""
    kind: Kind = KINDS[name]
    link = await world.post.link(await kind.ask(world), kind.purpose)
    for _ in range(5):
        for method in ("GET", "HEAD"):
            answer = await world.stranger.request(method, link)
            assert (answer.status_code, credentials_in(answer)) == (200, [])

    done = await open_and_send(world.client, link, **FIELDS.get(name, {}))
    again = await open_and_send(world.client, link, **FIELDS.get(name, {}))

    assert done.status_code == 200, done.text
    assert "<form" not in done.text
    assert again.status_code == 400
    assert credentials_in(done) == (["__Host-session"] if name == "magic" else [])


@pytest.mark.parametrize("name", KINDS)
async def test_the_page_takes_nothing_from_elsewhere_and_tells_nobody(
    world: World, name: str
) -> None:
    """EML-2, HDR: no script, no referrer, no cache, no frame; every answer of the page."""
    kind = KINDS[name]
    link = await world.post.link(await kind.ask(world), kind.purpose)
    answers = [
        await world.stranger.get(link),
        await world.stranger.get("/auth/confirm?purpose=x&token=y"),
        await open_and_send(world.client, link, **FIELDS.get(name, {})),
        await open_and_send(world.client, link, next_path="/welcome", **FIELDS.get(name, {})),
    ]

    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "form-action 'self'; base-uri 'none'; frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not set(_Form(answer.text).tags) & {"script", "link", "img", "iframe", "a"}
        assert not re.search(r"(?:https?:)?//", answer.text)


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # no database is asked
async def test_hostile_links_are_shown_as_no_longer_valid(client: AsyncClient) -> None:
    """XSS: nothing from the address is repeated unless it has the form of a token; never a 500."""
    script = "<script>alert(1)</script>"
    good = "A" * 43
    for purpose, token in (
        (script, good), ("reset_password", script), ("reset_password", '"' * 43), ("", ""), ("mfa", "\x00"),
        ("reset_password", "é" * 43), ("RESET_PASSWORD", good), ("\ud7ff", good),
    ):  # fmt: skip
        shown = await client.get("/auth/confirm", params={"purpose": purpose, "token": token})
        sent = await client.post("/auth/confirm", data={"purpose": purpose, "token": token})
        for answer in (shown, sent):
            assert answer.status_code == 400
            assert "alert" not in answer.text
    quoted = {"purpose": "reset_password", "token": good, "next": '/"><script>alert(1)</script>'}
    assert "alert" not in (await client.get("/auth/confirm", params=quoted)).text
    for content, kind in (
        (b"purpose=reset_password&token=%00", "application/x-www-form-urlencoded"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"), (b"{}", "application/json"), (b"--x", "multipart/form-data"),
        (b"--x\r\n", "multipart/form-data; boundary=x"), (b"a=1&" * 200, "application/x-www-form-urlencoded"),
        (b"x" * 70_000, "application/x-www-form-urlencoded"),
    ):  # fmt: skip
        answer = await client.post("/auth/confirm", content=content, headers={"content-type": kind})
        assert answer.status_code in {400, 413, 422}, (content[:20], kind)


@pytest.mark.parametrize("to", EVIL)
def test_a_path_to_another_site_is_none(to: str) -> None:
    """RED-1: refused, whatever a browser would make of it."""
    assert safe_path(to) is None


@pytest.mark.parametrize("to", GOOD)
def test_a_path_of_this_site_is_one(to: str) -> None:
    """RED-1: paths and queries of ours stay as they are."""
    assert safe_path(to) == to


@pytest.mark.parametrize("engine_kind", ["sqlite", "postgres"], indirect=True)
async def test_what_is_no_path_of_ours_leads_to_the_default_page(world: World) -> None:
    """RED-1: the link is used up all the same, and never a 500; a good path is followed with 303."""
    for number, to in enumerate((*EVIL, *GOOD)):
        await User.update({User.email: f"a{number}@example.com"}).where(User.id == world.alice.id)
        path, email = "/auth/email/verify/request", f"a{number}@example.com"
        await world.ask(path, email)
        token = await world.post.token(email, "verify_email")
        data = {"purpose": "verify_email", "token": token, "next": to}

        answer = await world.client.post("/auth/confirm", data=data, headers=SAME_ORIGIN)

        if to in GOOD:
            assert (answer.status_code, answer.headers["location"]) == (303, to)
        else:
            assert answer.status_code == 200, to
            assert "location" not in answer.headers
            assert "confirmed" in answer.text


async def test_a_link_and_then_a_code_on_the_page(
    client: AsyncClient, new_browser: Browsers, alice: Person, post: Post, clock: FrozenClock
) -> None:
    """ASVS 6.4.3: the page asks for the second factor, again after a wrong one, and leads on where it should."""
    await log_in(client, alice)
    await client.post("/auth/email/verify/request", json={"email": alice.email})
    await open_and_send(client, await post.link(alice.email, "verify_email"))
    phone = await enrol(client, clock)
    browser = new_browser()
    await browser.post("/auth/magic-link", json={"email": alice.email})
    link = await post.link(alice.email, "magic_link")

    asked = await open_and_send(browser, link, next_path="/welcome")
    form = _Form(asked.text)
    assert (asked.status_code, credentials_in(asked)) == (200, [])
    assert form.hidden["purpose"] == "mfa"
    assert set(form.asked) == {"code", "method"}
    wrong = {**form.hidden, "method": "totp", "code": phone.wrong()}
    refused = await browser.post("/auth/confirm", data=wrong, headers=SAME_ORIGIN)
    assert refused.status_code == 401
    assert _Form(refused.text).hidden == form.hidden
    right = {**form.hidden, "method": "totp", "code": phone.code()}
    done = await browser.post("/auth/confirm", data=right, headers=SAME_ORIGIN)

    assert (done.status_code, done.headers["location"]) == (303, "/welcome")
    assert (await browser.get("/mfa")).status_code == 200


async def test_what_is_typed_wrongly_may_be_typed_again(
    world: World, settings: AuthSettings, mailer: MemoryMailer
) -> None:
    """RST-3: the form comes back with what is wrong, without what was typed, and the link stays good."""
    del settings, mailer
    await world.ask("/auth/password/forgot", world.alice.email)
    link = await world.post.link(world.alice.email, "reset_password")

    for weak in ("", "password1234567", "\x00", "x" * 2000):
        answer = await open_and_send(world.stranger, link, password=weak)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert not weak or weak not in answer.text
    assert (await open_and_send(world.stranger, link, password=NEW_PASSWORD)).status_code == 200


async def test_another_site_cannot_send_the_form(world: World) -> None:
    """CSRF-1: nobody is logged in to a stranger's account by a page that they visit."""
    await world.ask("/auth/magic-link", world.alice.email)
    token = await world.post.token(world.alice.email, "magic_link")
    data = {"purpose": "magic_link", "token": token}
    before = await AuthSession.count()

    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ):
        answer = await world.stranger.post("/auth/confirm", data=data, headers=headers)
        assert answer.status_code == 403
    assert await AuthSession.count() == before
