"""What is stored about a person, for that person (GDPR article 20). Nothing that can be presented is in it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.records import Identity
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
Section = Callable[[object], Awaitable[object]]


class DataExport(Generic[UserT]):
    """Collects what the slices of one ``Auth`` store about a person.

    Args:
        sections: By name, what returns a slice's records of one person, without secrets.
        clock: Returns the present moment.
    """

    def __init__(self, sections: Mapping[str, Section], *, clock: Clock) -> None:
        self._sections = dict(sections)
        self._clock = clock

    async def of(self, identity: Identity[UserT]) -> dict[str, object]:
        """Return everything about the person behind a session."""
        user, user_id = identity.user, identity.session.user_id
        columns = [column._meta.name for column in user._meta.columns if not column._meta.secret]
        sections = {name: await section(user_id) for name, section in self._sections.items()}
        return {
            "exported_at": self._clock(),
            "user": {name: getattr(user, name) for name in columns if name != "password"},
            "email_verified": identity.email_verified,
            **sections,
        }
