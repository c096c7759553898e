import pytest
from hypothesis import given
from hypothesis import strategies as st

from piccolo_fastapi_auth.primitives.password_policy import reason_against

CONTEXT = ("Acme Corp", "jane1987", "Jane.Doe@example.com", "abc")


def reason(password: str, *, min_length: int = 15) -> str | None:
    refusal = reason_against(password, min_length=min_length, context=CONTEXT)
    return None if refusal is None else refusal[0]


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("", "too_short"),
        ("kqzvtmwxhgplrd", "too_short"),
        ("kqzvtmwxhgplrdb", None),
        ("😀" * 14, "too_short"),
        ("😀" * 15, None),
        ("e\u0301" * 14, "too_short"),
        ("äöüéèàçñôûîïëÿå", None),
    ],
)
def test_length_is_counted_in_code_points(password: str, expected: str | None) -> None:
    """PWD-1: 14 is too short and 15 is not, also for characters of four bytes; NFC is counted."""
    assert reason(password) == expected


def test_the_least_length_is_an_argument() -> None:
    """PWD-1: eight where a second factor is enforced."""
    assert reason("kqzvtmw", min_length=8) == "too_short"
    assert reason("kqzvtmwx", min_length=8) is None


@pytest.mark.parametrize(
    "password",
    ["kqzvtmwxhgplrdb", "KQZVTMWXHGPLRDB", "839475610293847", "correct horse battery staple"],
)
def test_there_are_no_composition_rules(password: str) -> None:
    """PWD-2: fifteen lower-case letters that are on no list are fine; so are digits alone."""
    assert reason(password) is None


@pytest.mark.parametrize("length", [64, 128, 1024])
def test_a_long_phrase_is_accepted(length: int) -> None:
    """PWD-4: at least 64 characters."""
    assert reason("".join(chr(0x4E00 + number) for number in range(length))) is None


@pytest.mark.parametrize("length", [1025, 4097, 1_000_000])
def test_an_overlong_password_is_refused(length: int) -> None:
    """PWD-4: cap plus one is refused, not cut."""
    assert reason("x" * length) == "too_long"


@pytest.mark.parametrize(
    "password",
    [
        "password1234567",
        "PassWord1234567",
        "1234567password",
        "!!!password!!!!!",
        "2026 password 2026",
        "iloveyou20261231",
        "passwordpassword",
        "PasswordPassword",
        "password1password1",
        "passwordpasswordpass",
        "passwordpassword123!",
        "dragondragondragon",
        "123456789012345",
        "012345678901234",
        "543210987654321",
        "abcdefghijklmno",
        "ABCDEFGHIJKLMNO",
        "onmlkjihgfedcba",
        "abcdefghijkl2026",
        "qwertyuiopasdfgh",
        "qwertyuiop12345",
        "asdfghjklasdfghjkl",
        "1234567890qwerty",
        "azertyuiopqsdfg",
        "aaaaaaaaaaaaaaa",
        "abababababababa",
        "a1b2a1b2a1b2a1b2",
        "000000000000000",
        "---------------",
        "passwordstandard",
        "123456789qwerty",
    ],
)
def test_a_common_password_is_refused(password: str) -> None:
    """PWD-3: as a whole, with digits around it, repeated, or as a run of keys."""
    assert reason(password) == "common"


@pytest.mark.parametrize("password", ["password", "letmein1", "qwertyui", "11111111", "Password1"])
def test_a_short_common_password_is_refused(password: str) -> None:
    """PWD-3: the list also counts where eight characters are enough."""
    assert reason(password, min_length=8) == "common"


@pytest.mark.parametrize(
    "password",
    [
        "jane.doe@example.com",
        "JANE.DOE@EXAMPLE.COM",
        "jane.doe@example.com1",
        "Jane.Doe2026!!!!",
        "janedoe19871987",
        "jane1987jane1987",
        "jane19872026!!!",
        "Acme Corp 2026!",
        "acmecorp2026!!!!",
        "acme-corp-acme-corp-",
        "2026AcmeCorp2026",
    ],
)
def test_a_password_made_of_the_surroundings_is_refused(password: str) -> None:
    """PWD-3: the site, the user name and the address, also with a year."""
    assert reason(password) == "context"


@pytest.mark.parametrize(
    "password",
    [
        "my password is a long phrase",
        "no password like this one",
        "jane doe went to acme corp by bus",
        "quiet-password-otter-lamp",
        "abcdefg hijk gfedcba",
        "8392017562839abc",
        "abc839201756283",
        "thequickbrownfoxdoesnotjump",
    ],
)
def test_a_phrase_that_only_contains_such_a_word_is_accepted(password: str) -> None:
    """PWD-3: the password is judged as a whole, and three letters of context are no word."""
    assert reason(password) is None


def test_the_reason_comes_with_a_message() -> None:
    """PWD-3: people are told why, without their password being repeated."""
    refusal = reason_against("password1234567", min_length=15)

    assert refusal is not None
    assert "first that anybody would guess" in refusal[1]
    assert "password1234567" not in refusal[1]


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=3))
def test_any_text_gets_an_answer(password: str, context: list[str]) -> None:
    """No password and no context leads to an exception."""
    refusal = reason_against(password, min_length=15, context=context)

    assert refusal is None or refusal[0] in {"too_short", "too_long", "common", "context"}
