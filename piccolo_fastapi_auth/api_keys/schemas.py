"""What travels about API keys."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from piccolo_fastapi_auth.api_keys import keys
from piccolo_fastapi_auth.api_keys.records import ApiKey, NewKey
from piccolo_fastapi_auth.routing import Body, Text

DEFAULT_OVERLAP = timedelta(days=1)
LONGEST_OVERLAP = timedelta(days=30)

Scope = Annotated[Text, Field(min_length=1, max_length=255, pattern=r"^[!#-\[\]-~]+$")]


class ApiKeyBody(Body):
    """A key to make."""

    name: Text = Field(min_length=1, max_length=100, description="By which you know it again.")
    scopes: list[Scope] = Field(
        default=[], max_length=100, description="The most that it may do; you must hold each."
    )
    expires_at: AwareDatetime | None = Field(
        default=None, description="In the future, within ten years; 90 days from now when left out."
    )


class RollOverBody(Body):
    """How to roll a key over."""

    overlap: int = Field(
        default=int(DEFAULT_OVERLAP.total_seconds()),
        ge=0,
        le=int(LONGEST_OVERLAP.total_seconds()),
        strict=True,
        description="Seconds for which the old key goes on; a day when left out.",
    )

    @property
    def duration(self) -> timedelta:
        """The overlap."""
        return timedelta(seconds=self.overlap)


class ApiKeyOut(BaseModel):
    """A key without its secret."""

    id: UUID
    name: str
    prefix: str = Field(description="How it begins.")
    scopes: list[str]
    created_at: AwareDatetime
    expires_at: AwareDatetime
    last_used_at: AwareDatetime | None = Field(description="Exact to a minute.")
    rolled_over_at: AwareDatetime | None


class NewApiKey(ApiKeyOut):
    """A new key. Its text is shown this once."""

    key: str = Field(repr=False)


def api_key_out(api_key: ApiKey) -> ApiKeyOut:
    """Show a key."""
    return ApiKeyOut(**_members(api_key))


def new_api_key_out(made: NewKey) -> NewApiKey:
    """Show a new key with its text."""
    return NewApiKey(**_members(made.api_key), key=made.text)


def _members(api_key: ApiKey) -> dict[str, Any]:  # pydantic checks each
    return {**asdict(api_key), "prefix": keys.prefix(api_key.id)}
