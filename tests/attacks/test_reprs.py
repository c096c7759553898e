"""No ``repr`` of anything that holds a secret shows it: tracebacks, debuggers and log lines print them (AUD-3)."""

import base64
import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from piccolo.engine.sqlite import SQLiteEngine
from pydantic import BaseModel, SecretStr

import piccolo_fastapi_auth
from piccolo_fastapi_auth import Auth, AuthSettings, Session, User
from piccolo_fastapi_auth.accounts.links import Redeemed
from piccolo_fastapi_auth.accounts.mail_schemas import (
    ConfirmEmailBody,
    LinkBody,
    MagicLinkBody,
    ResetBody,
)
from piccolo_fastapi_auth.accounts.ownership import Claim
from piccolo_fastapi_auth.accounts.schemas import ChangePasswordBody, RegisterBody
from piccolo_fastapi_auth.admin.schemas import ActingToken
from piccolo_fastapi_auth.admin.service import Acting
from piccolo_fastapi_auth.api_keys.keys import Presented
from piccolo_fastapi_auth.api_keys.moved import MovedKey
from piccolo_fastapi_auth.api_keys.records import ApiKey, NewKey
from piccolo_fastapi_auth.api_keys.schemas import NewApiKey
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.login.jwt_router import JwtLoginBody
from piccolo_fastapi_auth.login.schemas import LoginBody, VerifyBody
from piccolo_fastapi_auth.login.service import Attempt, LoggedIn
from piccolo_fastapi_auth.mfa.challenge import Wanted
from piccolo_fastapi_auth.mfa.flows import Confirmation
from piccolo_fastapi_auth.mfa.method import Begun, Issued, Proof
from piccolo_fastapi_auth.mfa.methods import moved_codes
from piccolo_fastapi_auth.mfa.methods.totp import TotpEnrolment
from piccolo_fastapi_auth.mfa.moved import MovedFactor, MovedFactors
from piccolo_fastapi_auth.mfa.schemas import (
    ChallengeBody,
    ConfirmBody,
    Confirmed,
    MfaMethodOut,
    NewRecoveryCodes,
    ProofBody,
)
from piccolo_fastapi_auth.mfa.service import Enrolled
from piccolo_fastapi_auth.mfa.states import States
from piccolo_fastapi_auth.moving.decryption import decryption
from piccolo_fastapi_auth.moving.movers import AuthenticatorMover
from piccolo_fastapi_auth.one_time_tokens.service import Pending
from piccolo_fastapi_auth.primitives.jwt_keys import load_keys
from piccolo_fastapi_auth.primitives.sealing import Sealer
from piccolo_fastapi_auth.sessions.moved import MovedSession
from piccolo_fastapi_auth.sessions.records import Identity, RefreshState
from piccolo_fastapi_auth.sessions.rotation import RefreshToken
from piccolo_fastapi_auth.sessions.schemas import RefreshBody, TokenResponse
from piccolo_fastapi_auth.sessions.service import Started
from piccolo_fastapi_auth.setting_types import StaticToken
from piccolo_fastapi_auth.static_tokens import StaticTokens
from piccolo_fastapi_auth.transport import ApiKeyCredential, BearerCredential
from piccolo_fastapi_auth.users.address_book import Holder
from piccolo_fastapi_auth.users.service import Candidate
from tests.fixtures import SECRET

MARK: Final = "k9Qx-MARK-v4Tz"
LONG: Final = f"{SECRET}{MARK}"
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
SESSION: Final = Session(
    id=UUID(int=1), user_id=1, transport="cookie", created_at=NOW, authenticated_at=NOW, last_seen_at=NOW,
    expires_at=NOW, methods=("password",), scope=None, ip=None, user_agent=None,
)  # fmt: skip
WANTED: Final = Wanted("alice", "cookie", Caller(None, None, None, None))
HOLDER: Final = Holder(Candidate(1, True, MARK), "alice", "alice@example.com", verified=True)  # noqa: FBT003 - a record
METHOD: Final = MfaMethodOut(id=uuid4(), method="totp", name="", created_at=NOW, last_used_at=None)


def identity() -> Identity[User]:
    """A live session and its person."""
    state = RefreshState(0, MARK, None)
    return Identity(SESSION, User(username="alice"), email_verified=False, refresh=state)


HOLDERS: Final[dict[str, Callable[[], object]]] = {
    "Attempt": lambda: Attempt(WANTED, MARK, MARK),
    "LoggedIn": lambda: LoggedIn(identity(), MARK),
    "Identity": identity,
    "Started": lambda: Started(uuid4(), MARK),
    "RefreshState": lambda: RefreshState(0, MARK, None),
    "RefreshToken": lambda: RefreshToken(uuid4(), 0, MARK),
    "ApiKeyCredential": lambda: ApiKeyCredential(MARK),
    "Presented": lambda: Presented(uuid4(), MARK),
    "NewKey": lambda: NewKey(ApiKey(uuid4(), "", (), NOW, NOW, None, None), MARK),
    "NewApiKey": lambda: NewApiKey(
        id=uuid4(),
        name="",
        prefix="",
        scopes=[],
        created_at=NOW,
        expires_at=NOW,
        last_used_at=None,
        rolled_over_at=None,
        key=MARK,
    ),
    "StaticToken": lambda: StaticToken(token=SecretStr(LONG)),
    "StaticTokens": lambda: vars(StaticTokens({"x": StaticToken(token=SecretStr(LONG))})),
    "BearerCredential": lambda: BearerCredential(MARK),
    "Candidate": lambda: Candidate(1, True, MARK),  # noqa: FBT003 - a record
    "Begun": lambda: Begun(MARK.encode(), {"secret": MARK}),
    "Issued": lambda: Issued(MARK.encode(), "alice@example.com", MARK),
    "ChallengeBody": lambda: ChallengeBody(mfa_token=MARK, method="email_code"),
    "Proof": lambda: Proof(MARK, "totp", MARK),
    "Pending": lambda: Pending(uuid4(), 1, MARK, {}),
    "SigningKey": lambda: load_keys("HS256", [LONG.encode()]),
    "Sealer": lambda: Sealer([(MARK * 3)[:32].encode()]),
    "AuthSettings.secret_keys": lambda: AuthSettings(secret_keys=[SecretStr(LONG)]),
    "AuthSettings.rate_limit_storage": lambda: AuthSettings(
        secret_keys=[SecretStr(SECRET)], rate_limit_storage=f"redis://user:{MARK}@localhost:6379/0"
    ),
    "Auth": lambda: vars(Auth(AuthSettings(secret_keys=[SecretStr(LONG)]))),
    "User": lambda: User(username="alice", password=MARK),
    "JwtLoginBody": lambda: JwtLoginBody(username="alice", password=SecretStr(MARK), mfa_code=MARK),
    "LoginBody": lambda: LoginBody(username="alice", password=SecretStr(MARK)),
    "RegisterBody": lambda: RegisterBody(
        username="a", email="a@example.com", password=SecretStr(MARK), invitation=MARK
    ),
    "ConfirmEmailBody": lambda: ConfirmEmailBody(token=MARK, password=SecretStr(MARK)),
    "LinkBody": lambda: LinkBody(token=MARK),
    "ResetBody": lambda: ResetBody(token=MARK, password=SecretStr(MARK)),
    "MagicLinkBody": lambda: MagicLinkBody(token=MARK),
    "Claim": lambda: Claim(
        Caller(None, None, None, None), signup_cookie=f"{MARK}.{LONG}", password=MARK
    ),
    "Holder": lambda: HOLDER,
    "Redeemed": lambda: Redeemed(HOLDER, Pending(uuid4(), 1, MARK, {"secret": MARK})),
    "ChangePasswordBody": lambda: ChangePasswordBody(
        current_password=SecretStr(MARK), new_password=SecretStr(MARK)
    ),
    "VerifyBody": lambda: VerifyBody(mfa_token=MARK, method="totp", code=MARK),
    "ProofBody": lambda: [ProofBody(password=SecretStr(MARK)), ProofBody(method="totp", code=MARK)],
    "ConfirmBody": lambda: ConfirmBody(id=uuid4(), code=MARK),
    "RefreshBody": lambda: RefreshBody(refresh_token=MARK),
    "TokenResponse": lambda: TokenResponse(
        access_token=MARK, expires_in=1, refresh_token=MARK, scope=""
    ),
    "TotpEnrolment": lambda: TotpEnrolment(id=uuid4(), secret=MARK, otpauth_uri=MARK, qr_svg=MARK),
    "Confirmed": lambda: Confirmed(method=METHOD, recovery_codes=[MARK]),
    "Confirmation": lambda: Confirmation(
        Enrolled(uuid4(), "totp", "", datetime(2026, 1, 1, tzinfo=UTC), None), [MARK], MARK
    ),
    "Acting": lambda: Acting(identity(), MARK),
    "ActingToken": lambda: ActingToken(access_token=MARK, expires_in=1, scope=""),
    "MovedSession": lambda: MovedSession(MARK, NOW),
    "MovedKey": lambda: MovedKey(uuid4(), MARK),
    "MovedFactor": lambda: MovedFactor(MARK, [MARK], NOW, None),
    "Stored": lambda: moved_codes.Stored(MARK, MARK),
    "AuthenticatorMover": lambda: AuthenticatorMover(
        Database(User),
        MovedFactors(Database(User), States(Database(User), sealer=Sealer([b"k" * 32]))),
        decryption("fernet", base64.urlsafe_b64encode((MARK * 3)[:32].encode()).decode()),
    ),
    "AuthSettings.moved_jwt_secrets": lambda: AuthSettings(
        secret_keys=[SecretStr(SECRET)], moved_jwt_secrets=[SecretStr(MARK)]
    ),
    "NewRecoveryCodes": lambda: NewRecoveryCodes(recovery_codes=[MARK]),
}


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_what_holds_a_secret_does_not_show_it(
    make: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """AUD-3, DESIGN.md 7.2: neither by itself nor inside something else."""
    monkeypatch.setattr(User._meta, "_db", SQLiteEngine(path=str(tmp_path / "auth.sqlite")))
    holder = make()

    for shown in (repr(holder), str(holder), f"{holder}", repr([holder]), repr({"x": holder})):
        assert MARK not in shown
        assert LONG not in shown


def test_no_class_with_a_secret_is_forgotten() -> None:
    """Every data class and body of the package with a field named like a secret is on the list above."""
    names = (
        "password",
        "secret",
        "token",
        "code",
        "codes",
        "mac",
        "salt",
        "state",
        "key",
        "binding",
        "hash",
    )
    listed = {name.partition(".")[0] for name in HOLDERS}
    harmless = {
        "Introspection",
        "Problem",
        "RateLimit",
        "SchemeNames",
    }  # a kind of token, a stable code, a function, the name of a scheme
    package: Any = piccolo_fastapi_auth
    forgotten = set()
    for module in pkgutil.walk_packages(package.__path__, "piccolo_fastapi_auth."):
        if "piccolo_migrations" in module.name:
            continue
        for item in vars(importlib.import_module(module.name)).values():
            if isinstance(item, type) and item.__module__ == module.name:
                words = {word for field in _secret_fields(item) for word in field.split("_")}
                if words & set(names) and item.__name__ not in listed | harmless:
                    forgotten.add(item.__name__)
    assert forgotten == set()


def _secret_fields(item: type) -> list[str]:
    """The fields that hold text, bytes or lists; names of times and counts are no secrets."""
    if dataclasses.is_dataclass(item):
        fields = {field.name: field.type for field in dataclasses.fields(item)}
    elif issubclass(item, BaseModel):
        fields = {name: info.annotation for name, info in item.model_fields.items()}
    else:
        return []
    return [
        name for name, kind in fields.items()
        if any(word in str(kind) for word in ("str", "bytes", "Text", "Secret", "Password", "Code"))
    ]  # fmt: skip
