"""What a credential without a session proves. A plain value: services know it, and it knows no HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

UserT = TypeVar("UserT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated(Generic[UserT]):
    """What a good credential without a session of ours proves. Holds nothing secret.

    Args:
        transport: What kind it is, such as ``api_key``; `Principal.transport` repeats it.
        user: Whose it is; ``None`` for a machine that acts for nobody.
        scopes: A person never has more than these by it; ``None`` is all that the person has. Without a
            person they are what the machine has.
        methods: How the person signed in to get it; the setting ``require_mfa`` looks at them.
        email_verified: Whether ``auth.require(verified=True)`` is satisfied.
        authenticated_at: When the person proved to be there.
        expires_at: When it ends.
        credential_id: Names it in lists, logs and limits.
    """

    transport: str
    user: UserT | None
    scopes: Sequence[str] | None = None
    methods: tuple[str, ...] = ()
    email_verified: bool = False
    authenticated_at: datetime | None = None
    expires_at: datetime | None = None
    credential_id: str | None = None
