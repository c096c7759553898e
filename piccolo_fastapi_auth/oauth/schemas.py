"""What travels about tokens."""

from pydantic import BaseModel, Field


class Introspection(BaseModel):
    """What is known of a token (RFC 7662 section 2.2); of one that is not good only ``active``."""

    active: bool
    scope: str | None = None
    username: str | None = None
    token_type: str | None = Field(default=None, description="Bearer, for an access token.")
    exp: int | None = None
    iat: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None
    sid: str | None = None
