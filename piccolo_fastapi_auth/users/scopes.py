"""Which scopes there are, and which of them a person has (RFC 6749 section 3.3)."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Generic, TypeVar

from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
ScopesOf = Callable[[UserT], Iterable[str] | Awaitable[Iterable[str]]]


class Scopes(Generic[UserT]):
    """The scopes that the application declares, and its rule for who has them.

    A superuser has all. Everybody else has what the application's callable names; without one, none.
    """

    def __init__(self, declared: Mapping[str, str], scopes_of: ScopesOf[UserT] | None) -> None:
        self.declared = dict(declared)
        self._scopes_of = scopes_of

    async def of(self, user: UserT, *, within: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return the scopes that a person has now, in declared order; ``within`` narrows them."""
        if not self.declared:
            return ()
        held = set(self.declared) if user.superuser else set(await self._named(user))
        if within is not None:
            held &= set(within)
        return tuple(scope for scope in self.declared if scope in held)

    async def _named(self, user: UserT) -> Iterable[str]:
        if self._scopes_of is None:
            return ()
        named = self._scopes_of(user)
        return await named if inspect.isawaitable(named) else named
