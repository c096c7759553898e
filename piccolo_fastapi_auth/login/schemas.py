"""What travels to log in."""

from typing import Annotated

from pydantic import Field

from piccolo_fastapi_auth.mfa.schemas import Code, MethodName
from piccolo_fastapi_auth.routing import Body, Password, Text

Identifier = Annotated[Text, Field(min_length=1, max_length=255)]


class LoginBody(Body):
    """A username, or an e-mail address in its place, and a password."""

    username: Identifier
    password: Password


class VerifyBody(Body):
    """The answer to a challenge."""

    mfa_token: Text = Field(max_length=64, repr=False)
    method: MethodName
    code: Code = Field(repr=False)
    trust_device: bool = Field(
        default=False,
        strict=True,
        description="Spare this browser the second factor for a while, where the application allows that.",
    )
