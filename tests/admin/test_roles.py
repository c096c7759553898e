"""Scopes through roles in tables, beside those that the application's callable names."""

import asyncio

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth import Auth, User
from tests.fixtures import Browsers, Person, bearer, code_of, get_tokens, log_in, refresh


async def test_a_role_gives_its_scopes_and_takes_them_at_the_next_request(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """Roles and callable together; what is taken is gone at once, without a new log-in."""
    await log_in(client, alice)
    await auth.roles.define("editor", ["posts:write"])
    editor = await auth.roles.named("editor")
    assert (await client.post("/posts")).status_code == 403
    await auth.roles.grant(alice.id, editor)
    assert (await client.post("/posts")).status_code == 200
    assert (await client.get("/auth/me")).json()["scopes"] == ["posts:read", "posts:write"]
    await auth.roles.define("editor", [])
    assert code_of(await client.post("/posts")) == "insufficient_scope"
    await auth.roles.define("editor", ["posts:write"])
    assert (await client.post("/posts")).status_code == 200
    await auth.roles.revoke(alice.id, editor)
    assert (await client.post("/posts")).status_code == 403


async def test_a_demotion_reaches_tokens(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """``current_user`` at the next request, ``principal`` at the next refresh."""
    await auth.roles.define("editor", ["posts:write"])
    editor = await auth.roles.named("editor")
    await auth.roles.grant(alice.id, editor)
    tokens = await get_tokens(client, alice)
    assert tokens["scope"] == "posts:read posts:write"
    await auth.roles.revoke(alice.id, editor)

    assert (await client.post("/posts", headers=bearer(tokens))).status_code == 403
    held = (await client.get("/principal", headers=bearer(tokens))).json()["scopes"]
    assert held == ["posts:read", "posts:write"]  # what the token says, for as long as it lives
    renewed = (await refresh(client, tokens["refresh_token"])).json()
    assert renewed["scope"] == "posts:read"
    held = (await client.get("/principal", headers=bearer(renewed))).json()["scopes"]
    assert held == ["posts:read"]


async def test_many_grants_at_once_are_one(auth: Auth[User], alice: Person) -> None:
    """DESIGN 7.1: the key of the row is made of person and role; one of the many is told that it granted."""
    await auth.roles.define("editor", ["posts:write"])
    editor = await auth.roles.named("editor")

    told = await asyncio.gather(*(auth.roles.grant(alice.id, editor) for _ in range(20)))

    assert sum(told) == 1
    told = await asyncio.gather(*(auth.roles.revoke(alice.id, editor) for _ in range(20)))
    assert sum(told) == 1


async def test_a_role_has_only_declared_scopes(auth: Auth[User]) -> None:
    """A typing error in a scope is refused where it is made."""
    for name, scopes in (("editor", ["post:write"]), ("", []), ("x" * 65, []), ("a/b", [])):
        with pytest.raises(ValueError, match=r"declared|characters"):
            await auth.roles.define(name, scopes)
    assert await auth.roles.all() == []
    await auth.roles.define("editor", ["posts:write"])
    assert await auth.roles.remove("editor")
    assert not await auth.roles.remove("editor")


async def test_a_person_from_elsewhere_has_the_scopes_of_their_roles(
    auth: Auth[User], new_browser: Browsers, alice: Person
) -> None:
    """A user row that did not come from the look-up costs one query, and says the same."""
    del new_browser
    await auth.roles.define("editor", ["posts:write"])
    await auth.roles.grant(alice.id, await auth.roles.named("editor"))
    user = await User.objects().get(User.id == alice.id)
    assert user is not None

    assert await auth._parts.scopes.of(user) == ("posts:read", "posts:write")
