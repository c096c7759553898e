"""What travels about sessions and the people in them."""

from datetime import datetime
from typing import Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from piccolo_fastapi_auth.routing import Body, Text
from piccolo_fastapi_auth.sessions.records import Identity, Session
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class UserOut(BaseModel):
    """A person, as they may see themselves."""

    id: int | UUID | str
    username: str
    email: str
    first_name: str | None
    last_name: str | None
    email_verified: bool
    scopes: list[str]


class SessionOut(BaseModel):
    """A sign-in. Holds no token."""

    id: UUID
    transport: Literal["cookie", "bearer"]
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None
    methods: list[str] = Field(description="How the person signed in: password, totp, ...")
    actor: int | UUID | str | None = Field(
        default=None,
        description="Who acts as the person: an administrator. Absent where nobody does.",
    )
    current: bool = Field(description="Whether this request came from it.")

    @model_serializer(mode="wrap")
    def _without_nobody(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        members: dict[str, object] = write(self)
        return (
            members
            if self.actor is not None
            else {k: v for k, v in members.items() if k != "actor"}
        )


class SignedIn(BaseModel):
    """A person and the session behind the request."""

    user: UserOut
    session: SessionOut


class TokenResponse(BaseModel):
    """A successful token response (RFC 6749 section 5.1)."""

    access_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the word of RFC 6750
    expires_in: int = Field(description="Seconds.")
    refresh_token: str = Field(repr=False)
    scope: str = Field(description="The scopes granted, separated by spaces.")


class RefreshBody(Body):
    """A refresh token."""

    refresh_token: Text = Field(max_length=512, repr=False)


def user_out(identity: Identity[UserT], scopes: tuple[str, ...]) -> UserOut:
    """Show a person."""
    user = identity.user
    return UserOut(
        id=identity.session.user_id,
        username=user.username,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        email_verified=identity.email_verified,
        scopes=list(scopes),
    )


def session_out(session: Session, *, current: UUID | None) -> SessionOut:
    """Show a session."""
    return SessionOut(
        id=session.id,
        transport=session.transport,
        created_at=session.created_at,
        last_seen_at=session.last_seen_at,
        expires_at=session.expires_at,
        ip=session.ip,
        user_agent=session.user_agent,
        methods=list(session.methods),
        actor=session.actor_id,
        current=session.id == current,
    )
