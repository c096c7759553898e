"""Log-in hooks: callables that the application gives to ``Auth``; raising an ``AuthError`` refuses."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Hook = Callable[..., Awaitable[None] | None]
"""Called with keywords: ``username`` and ``request``; after a success also ``user`` and ``session``."""

Hooks = Hook | Sequence[Hook] | None


@dataclass(frozen=True, slots=True)
class LoginHooks:
    """What runs around each log-in, in order: sync or async callables."""

    before_login: tuple[Hook, ...] = ()
    after_login: tuple[Hook, ...] = ()
    login_failed: tuple[Hook, ...] = ()


def as_tuple(hooks: Hooks) -> tuple[Hook, ...]:
    """Return one hook, several or none as a tuple."""
    if hooks is None:
        return ()
    return (hooks,) if callable(hooks) else tuple(hooks)


async def run(hooks: Sequence[Hook], **keywords: object) -> None:
    """Call each hook; what it raises goes to the caller."""
    for hook in hooks:
        result = hook(**keywords)
        if inspect.isawaitable(result):
            await result
