"""What travels about people, to administrators."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field

from piccolo_fastapi_auth.audit.event import Action, Event, Outcome
from piccolo_fastapi_auth.mfa.schemas import MfaMethodOut
from piccolo_fastapi_auth.users.roles import Role
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
Key = int | UUID | str


class PersonOut(BaseModel):
    """A person, as an administrator may see them: never a password or its hash."""

    id: Key
    username: str
    email: str
    first_name: str | None
    last_name: str | None
    active: bool
    admin: bool
    superuser: bool
    last_login: datetime | None


class RoleOut(BaseModel):
    """A role and its scopes."""

    name: str
    description: str
    scopes: list[str]


class FactorsOut(BaseModel):
    """The second factors of a person; no secret of any."""

    methods: list[MfaMethodOut]
    recovery_codes_left: int


class ActingToken(BaseModel):
    """An access token to act with; there is none to refresh it."""

    access_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the word of RFC 6750
    expires_in: int = Field(description="Seconds.")
    scope: str


class EventOut(BaseModel):
    """Something that happened."""

    id: int
    at: datetime
    action: Action
    outcome: Outcome
    user: Key | None
    actor: Key | None
    session_id: UUID | None
    ip: str | None
    user_agent: str | None
    method: str | None
    request_id: str | None
    detail: dict[str, str]


def person_out(user: UserT) -> PersonOut:
    """Show a person."""
    at: datetime | None = user.last_login
    return PersonOut(
        id=getattr(user, user._meta.primary_key._meta.name),
        username=user.username,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        active=user.active,
        admin=user.admin,
        superuser=user.superuser,
        last_login=None if at is None else at.replace(tzinfo=UTC),  # Piccolo's column is naive
    )


def roles_out(roles: Sequence[Role]) -> list[RoleOut]:
    """Show roles."""
    return [
        RoleOut(name=role.name, description=role.description, scopes=list(role.scopes))
        for role in roles
    ]


def event_out(event: Event) -> EventOut:
    """Show an event."""
    return EventOut.model_validate({**_fields(event), "detail": dict(event.detail)})


def _fields(event: Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in EventOut.model_fields}
