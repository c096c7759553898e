"""Which scopes there are, and which of them a person has (RFC 6749 section 3.3)."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Generic, TypeVar

from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
ScopesOf = Callable[[UserT], Iterable[str] | Awaitable[Iterable[str]]]


ADMIN = "auth:admin"
IMPERSONATE = "auth:impersonate"
OWN = {ADMIN: "Manage people", IMPERSONATE: "Act as somebody else for a while"}

ByRoles = Callable[[object], Awaitable[Iterable[str]]]


async def _no_roles(_: object) -> Iterable[str]:
    return ()


class Scopes(Generic[UserT]):
    """The scopes that the application declares, and its rule for who has them.

    A superuser has all. Everybody else has what their roles give and what the application's callable names.
    """

    def __init__(self, declared: Mapping[str, str], scopes_of: ScopesOf[UserT] | None) -> None:
        self.declared = {**declared, **OWN}
        self._scopes_of = scopes_of
        self.by_roles: ByRoles = _no_roles

    async def of(self, user: UserT, *, within: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return the scopes that a person has now, in declared order; ``within`` narrows them."""
        if user.superuser:
            held = set(self.declared)
        else:
            held = {*await self._named(user), *await self._by_roles(user)}
        if within is not None:
            held &= set(within)
        return tuple(scope for scope in self.declared if scope in held)

    async def _by_roles(self, user: UserT) -> Iterable[str]:
        """Take what the look-up of the request brought along; ask only for a person who came another way."""
        known = user._role_scopes  # noqa: SLF001 - written by the look-up, for here
        if known is not None:
            return known
        return await self.by_roles(getattr(user, user._meta.primary_key._meta.name))

    async def _named(self, user: UserT) -> Iterable[str]:
        if self._scopes_of is None:
            return ()
        named = self._scopes_of(user)
        return await named if inspect.isawaitable(named) else named
