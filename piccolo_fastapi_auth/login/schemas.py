"""What travels to log in and to prove oneself again."""

from typing import Annotated

from pydantic import Field

from piccolo_fastapi_auth.routing import Body, Password, Text

Identifier = Annotated[Text, Field(min_length=1, max_length=255)]


class LoginBody(Body):
    """A username, or an e-mail address in its place, and a password."""

    username: Identifier
    password: Password


class ReauthenticateBody(Body):
    """A proof that the person is still there."""

    password: Password
