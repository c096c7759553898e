"""What travels about a person's own account."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from piccolo_fastapi_auth.primitives.canonical import canonical
from piccolo_fastapi_auth.routing import Body, Password, Text, encodable
from piccolo_fastapi_auth.users.names import checked_address, checked_username
from piccolo_fastapi_auth.users.user import AuthUser

LONGEST_ADDRESS = 254

# Columns that no profile schema may write: they decide who a person is and what they may do (AUZ-3).
_NOT_PROFILE = frozenset(
    {"username", "password", "email", "active", "admin", "superuser", "last_login"}
)


def _name(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable, without spaces around it")
    return text


EmailAddress = Annotated[
    Text, Field(min_length=3, max_length=LONGEST_ADDRESS), AfterValidator(checked_address)
]
Username = Annotated[Text, Field(min_length=1, max_length=100), AfterValidator(checked_username)]
PersonalName = Annotated[Text, Field(max_length=255), AfterValidator(_name)]


class RegisterBody(Body):
    """A new account."""

    username: Username
    email: EmailAddress
    password: Password

    @model_validator(mode="after")
    def _name_is_nobody_elses_address(self) -> Self:
        # People log in with either: a username that is another person's address would catch their log-ins.
        if "@" in self.username and canonical(self.username) != self.email:
            raise ValueError("a username with @ must be the e-mail address")
        return self


class ProfileUpdate(Body):
    """What a person may write about themselves. Subclass it to add columns of the application's user table."""

    first_name: PersonalName | None = None
    last_name: PersonalName | None = None

    @field_validator("*")
    @classmethod
    def _storable(cls, value: object) -> object:
        # Also for the fields that an application adds as plain `str`: PostgreSQL stores no NUL.
        return encodable(value) if isinstance(value, str) else value


class ChangePasswordBody(Body):
    """The password as it is, and as it shall be."""

    current_password: Password
    new_password: Password


def check_profile(schema: type[ProfileUpdate], table: type[AuthUser]) -> None:
    """Hold an application's profile schema against its user table.

    Raises:
        ValueError: A field is no column, or one that people must not write.
    """
    columns = {column._meta.name for column in table._meta.columns}
    writable = columns - _NOT_PROFILE - {table._meta.primary_key._meta.name}
    if strangers := set(schema.model_fields) - writable:
        raise ValueError(
            f"profile_schema has fields that people may not write, or that are no columns: {sorted(strangers)}"
        )
