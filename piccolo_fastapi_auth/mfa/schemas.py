"""What travels about second factors."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, model_validator

from piccolo_fastapi_auth.mfa.method import Proof
from piccolo_fastapi_auth.routing import Body, Password, Text


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable, without spaces around it")
    return text


Code = Annotated[Text, Field(min_length=1, max_length=64)]
MethodName = Annotated[Text, Field(min_length=1, max_length=32)]
DeviceName = Annotated[Text, Field(min_length=1, max_length=100), AfterValidator(_printable)]


class BeginBody(Body):
    """The name that a person gives to a device."""

    name: DeviceName | None = None


class ConfirmBody(Body):
    """The first code of a new enrolment."""

    id: UUID
    code: Code = Field(repr=False)


class SendBody(Body):
    """The method whose code shall be sent to the person behind the request."""

    method: MethodName


class ChallengeBody(SendBody):
    """The method whose code shall be sent for a log-in that was begun."""

    mfa_token: Text = Field(max_length=64, repr=False)


class CodeSent(BaseModel):
    """A code is on its way."""

    expires_in: int = Field(description="Seconds for which it is good.")


class RenameBody(Body):
    """Another name for a device."""

    name: DeviceName


class MfaMethodOut(BaseModel):
    """A second factor, as its owner may see it."""

    id: UUID
    method: str
    name: str
    created_at: datetime
    last_used_at: datetime | None


class MfaOverview(BaseModel):
    """The second factors that a person has and could have."""

    methods: list[MfaMethodOut]
    available: list[str]
    recovery_codes_left: int


class Confirmed(BaseModel):
    """A second factor that is now active."""

    method: MfaMethodOut
    recovery_codes: list[str] = Field(
        repr=False, description="Shown once, with the first method only."
    )


class NewRecoveryCodes(BaseModel):
    """Recovery codes, shown once."""

    recovery_codes: list[str] = Field(repr=False)


class ProofBody(Body):
    """A password, or a method with its code. A person with a second factor must give that one."""

    password: Password | None = None
    method: MethodName | None = None
    code: Code | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if (self.password is None) == (self.method is None) or (self.method is None) != (
            self.code is None
        ):
            raise ValueError("give password, or method and code")
        return self

    def proof(self) -> Proof:
        """Return what was given as a plain value."""
        password = None if self.password is None else self.password.get_secret_value()
        return Proof(password, self.method or "", self.code or "")
