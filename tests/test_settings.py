"""Bad configuration refuses to start and says what to do (FLT-5, JWT-8)."""

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.users.user_table import UserTableError
from tests.fixtures import SECRET


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ``.env`` but the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "secrets.token_urlsafe"),
        ({"secret_keys": ["x7" * 15]}, "shorter than 32 bytes"),
        ({"secret_keys": ["change-me-change-me-change-me-1234567890"]}, "placeholder"),
        ({"secret_keys": ["abab" * 10]}, "placeholder"),
        ({"secret_keys": [SECRET], "signing_keys": ["pem"]}, "signing_keys are for"),
        ({"secret_keys": [SECRET], "algorithm": "RS256"}, "needs signing_keys"),
        ({"secret_keys": [SECRET], "algorithm": "none"}, "HS256"),
        ({"secret_keys": [SECRET], "encryption_keys": ["short"]}, "32 bytes"),
        ({"secret_keys": [SECRET], "public_origin": "http://app.test"}, "https"),
        ({"secret_keys": [SECRET], "public_origin": "https://app.test/x"}, "nothing more"),
        ({"secret_keys": [SECRET], "trusted_origins": ["app.test"]}, "nothing more"),
        ({"secret_keys": [SECRET], "password_min_length": 7}, "greater than or equal to 8"),
        ({"secret_keys": [SECRET], "prefix": "auth"}, "pattern"),
        ({"secret_keys": [SECRET], "session_lifetime": -1}, "greater than"),
    ],
)
def test_a_bad_setting_says_what_to_do_and_shows_no_secret(
    settings: dict[str, Any], said: str
) -> None:
    """The message helps; the value is not in it."""
    with pytest.raises(ValidationError) as refused:
        AuthSettings(**settings)

    assert said in str(refused.value)
    assert not any(str(value) in str(refused.value) for value in settings.get("secret_keys", []))


@pytest.mark.parametrize(
    "text", [f'["{SECRET}", "{SECRET[::-1]}"]', f"{SECRET}, {SECRET[::-1]}"], ids=["json", "commas"]
)
def test_lists_come_from_the_environment_in_two_spellings(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first signs, all verify; none is in the ``repr``."""
    monkeypatch.setenv("PICCOLO_AUTH_SECRET_KEYS", text)

    settings = AuthSettings()

    assert settings.secrets == [SECRET.encode(), SECRET[::-1].encode()]
    assert SECRET not in repr(settings)
    assert len(settings.sealing_keys[0]) == 32


def test_a_dot_env_file_is_read(tmp_path: Path) -> None:
    """With what belongs to others left alone."""
    (tmp_path / ".env").write_text(
        f"PICCOLO_AUTH_SECRET_KEYS={SECRET}\nDATABASE_URL=x\nPICCOLO_AUTH_REFRESH_GRACE=0\n"
    )

    assert AuthSettings().refresh_grace.total_seconds() == 0


def test_names_and_defaults_follow_from_other_settings() -> None:
    """Cookie prefix, password length, encryption keys, origins."""
    key = base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")
    settings = AuthSettings(
        secret_keys=[SECRET], secure_cookies=False, require_mfa="everyone", encryption_keys=[key],
        public_origin="http://localhost:8000/",
    )  # fmt: skip

    assert settings.session_cookie == "session"
    assert settings.password_min_length == 8
    assert settings.sealing_keys[0] == b"k" * 32
    assert len(settings.sealing_keys) == 2  # what the derived key sealed still opens
    assert settings.public_origin == "http://localhost:8000"
    assert AuthSettings(secret_keys=[SECRET]).password_min_length == 15


def test_a_user_table_that_migrations_do_not_know_is_refused() -> None:
    """The message names the variable to set."""

    class Other(User, tablename="other_user"):
        """Another table."""

    with pytest.raises(UserTableError, match=r"PICCOLO_AUTH_USER_TABLE=.*Other"):
        Auth(AuthSettings(secret_keys=[SECRET]), user_table=Other)
    with pytest.raises(UserTableError, match="migrations"):
        Auth(AuthSettings(secret_keys=[SECRET], user_table="some.where:Else"))
