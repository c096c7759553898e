"""What travels about links in mails."""

from typing import Literal

from pydantic import BaseModel, Field

from piccolo_fastapi_auth.accounts.schemas import EmailAddress, LinkToken
from piccolo_fastapi_auth.routing import Body, Password


class Accepted(BaseModel):
    """The answer to everything that may or may not lead to a mail: the same for everybody (ENU-2)."""

    message: str = "If there is something to send, a mail is on its way."


class EmailBody(Body):
    """An e-mail address."""

    email: EmailAddress


class ConfirmEmailBody(Body):
    """The token of a link.

    ``password`` is for people who signed up elsewhere than where they open the link: with it they show that the
    account's password is their own choice.
    """

    token: LinkToken = Field(repr=False)
    password: Password | None = None


class LinkBody(Body):
    """The token of a link."""

    token: LinkToken = Field(repr=False)


class ResetBody(Body):
    """The token of a link, and the new password."""

    token: LinkToken = Field(repr=False)
    password: Password


class MagicLinkBody(Body):
    """The token of a link, and which credential it shall lead to."""

    token: LinkToken = Field(repr=False)
    transport: Literal["cookie", "bearer"] = "cookie"
