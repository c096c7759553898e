"""Reading mails, and the six kinds of links: how each is asked for, and how it is used."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from httpx import AsyncClient, Response

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.mail import MemoryMailer
from tests.fixtures import ORIGIN, PASSWORD, Person

NEW_PASSWORD: Final = "a mule in the larder"
NEW_ADDRESS: Final = "alice@new.example.com"
GUEST: Final = "guest@example.com"


def text_of(message: EmailMessage) -> str:
    """The plain text of a mail."""
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@dataclass(frozen=True)
class Post:
    """Mails that were sent, once everything in the background is done."""

    auth: Auth[User]
    mailer: MemoryMailer

    async def to(self, address: str) -> list[EmailMessage]:
        """All mails to an address, oldest first."""
        await self.auth.outbox.drain()
        return [mail for mail in self.mailer.messages if mail["To"] == address]

    async def subjects(self, address: str) -> list[str]:
        """What they are about."""
        return [str(mail["Subject"]) for mail in await self.to(address)]

    async def link(self, address: str, purpose: str) -> str:
        """The newest link of a purpose."""
        texts = [text_of(mail) for mail in await self.to(address)]
        links = [link for text in texts for link in re.findall(r"https://\S+", text)]
        return str(next(link for link in reversed(links) if f"purpose={purpose}&" in link))

    async def token(self, address: str, purpose: str) -> str:
        """The token in it."""
        link = urlsplit(await self.link(address, purpose))
        assert f"{link.scheme}://{link.netloc}{link.path}" == f"{ORIGIN}/auth/confirm"
        return parse_qs(link.query)["token"][0]


@dataclass(frozen=True)
class World:
    """Alice, signed in, and somebody without any credential."""

    client: AsyncClient
    stranger: AsyncClient
    alice: Person
    post: Post

    async def ask(self, path: str, email: str) -> None:
        """Send what leads to a mail."""
        answer = await self.client.post(path, json={"email": email})
        assert answer.status_code == 202, answer.text


Use = Callable[[World, Any], Awaitable[Response]]


@dataclass(frozen=True)
class Kind:
    """A kind of link."""

    purpose: str
    lifetime: str
    ask: Callable[[World], Awaitable[str]]
    """Asks for a link and returns the address that it goes to."""
    use: Use
    good: int = 204

    async def token(self, world: World) -> str:
        """Ask for one and read it."""
        return await world.post.token(await self.ask(world), self.purpose)


def _asking(path: str, address: str | None = None) -> Callable[[World], Awaitable[str]]:
    async def ask(world: World) -> str:
        email = address or world.alice.email
        await world.ask(path, email)
        return email

    return ask


def _using(path: str, **more: object) -> Use:
    async def use(world: World, token: Any) -> Response:
        return await world.client.post(path, json={"token": token, **more})

    return use


async def _move(world: World) -> str:
    """Change the address, which mails an undo link to the old one."""
    shown = (await world.client.get("/auth/me")).json()["email"]
    new = NEW_ADDRESS if shown == world.alice.email else world.alice.email
    await world.ask("/auth/email/change", new)
    body = {"token": await world.post.token(new, "change_email")}
    assert (await world.client.post("/auth/email/verify", json=body)).status_code == 204
    return str(shown)


async def _move_twice_back(world: World) -> str:
    """Ask for another undo link of the same address: there and back, and there again."""
    await _move(world)
    if (await world.client.get("/auth/me")).json()["email"] == world.alice.email:
        await _move(world)
    return world.alice.email


async def _invite(world: World) -> str:
    key = User.email == (await world.client.get("/auth/me")).json()["email"]
    await User.update({User.superuser: True}).where(key)
    await world.ask("/auth/invitations", GUEST)
    return GUEST


_names = iter(range(10**9))


async def _accept(world: World, token: Any) -> Response:
    body = {"username": f"guest{next(_names)}", "email": GUEST, "password": PASSWORD}
    return await world.stranger.post("/auth/register", json={**body, "invitation": token})


KINDS: Final = {
    "verify": Kind(
        "verify_email", "verification_token_lifetime", _asking("/auth/email/verify/request"), _using("/auth/email/verify")
    ),
    "change": Kind(
        "change_email", "verification_token_lifetime", _asking("/auth/email/change", NEW_ADDRESS),
        _using("/auth/email/verify"),
    ),
    "undo": Kind(
        "undo_email_change", "verification_token_lifetime", _move_twice_back, _using("/auth/email/change/undo")
    ),
    "reset": Kind(
        "reset_password", "reset_token_lifetime", _asking("/auth/password/forgot"),
        _using("/auth/password/reset", password=NEW_PASSWORD),
    ),
    "magic": Kind(
        "magic_link", "magic_link_lifetime", _asking("/auth/magic-link"),
        _using("/auth/magic-link/login", transport="bearer"), good=200,
    ),
    "invitation": Kind("invitation", "invitation_lifetime", _invite, _accept, good=201),
}  # fmt: skip
