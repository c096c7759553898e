"""How people sign in here."""

from typing import Annotated

from fastapi import Depends, Security
from pydantic import Field

from example_app.first_run import secrets_file
from example_app.mail import mailer
from example_app.tables import User
from piccolo_fastapi_auth import Auth, AuthSettings, ProfileUpdate, RecoveryCodes, Totp


class ReaderProfile(ProfileUpdate):
    """What readers may write about themselves."""

    display_name: Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")] | None = None


def scopes_of(user: User) -> list[str]:
    """Everybody may save links; whoever has ``admin`` set in the database may remove anybody's."""
    return ["links:write", "links:remove"] if user.admin else ["links:write"]


# Environment variables win over .env, and .env over the file of the first run.
settings = AuthSettings(_env_file=(secrets_file(), ".env"), password_words=["reading list"])
auth = Auth(
    settings,
    user_table=User,
    mfa=[Totp(issuer="Reading list"), RecoveryCodes()],
    scopes={"links:write": "Save links", "links:remove": "Remove anybody's links"},
    scopes_of=scopes_of,
    profile_schema=ReaderProfile,
    mailer=mailer(),
)

CurrentUser = Annotated[User, Depends(auth.current_user)]
Writer = Annotated[User, Security(auth.current_user, scopes=["links:write"])]
Remover = Annotated[User, Security(auth.current_user, scopes=["links:remove"])]
