"""How people sign in here."""

import os
from typing import Annotated

from fastapi import Depends, Security
from pydantic import Field

from example_app.first_run import secret_key
from example_app.tables import User
from piccolo_fastapi_auth import Auth, AuthSettings, ProfileUpdate, RecoveryCodes, Totp


class ReaderProfile(ProfileUpdate):
    """What readers may write about themselves."""

    display_name: Annotated[str | None, Field(max_length=100)] = None


def scopes_of(user: User) -> list[str]:
    """Everybody may save links; admins may remove anybody's."""
    return ["links:write", "links:remove"] if user.admin else ["links:write"]


settings = AuthSettings(
    secret_keys=[os.environ.get("PICCOLO_AUTH_SECRET_KEYS") or secret_key()],
    # Browsers keep no Secure cookie from plain http, and this runs on http://127.0.0.1. Behind https: True.
    secure_cookies=os.environ.get("PICCOLO_AUTH_SECURE_COOKIES", "false").lower() == "true",
    password_words=["reading list"],
)
auth = Auth(
    settings,
    user_table=User,
    mfa=[Totp(issuer="Reading list"), RecoveryCodes()],
    scopes={"links:write": "Save links", "links:remove": "Remove anybody's links"},
    scopes_of=scopes_of,
    profile_schema=ReaderProfile,
)

CurrentUser = Annotated[User, Depends(auth.current_user)]
Writer = Annotated[User, Security(auth.current_user, scopes=["links:write"])]
Remover = Annotated[User, Security(auth.current_user, scopes=["links:remove"])]
