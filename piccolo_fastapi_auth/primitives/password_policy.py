"""Which passwords may be set (NIST SP 800-63B-4, 3.1.1.2): long enough, and not one of the usual.

No rules about character classes. The blocklist judges the password as a whole: a phrase may contain
a common word, but must not be one, be one with digits around it, or one repeated.
"""

import functools
import string
import unicodedata
from collections.abc import Iterable

from piccolo_fastapi_auth.primitives.passwords import MAX_PASSWORD_LENGTH, normalised

MIN_CONTEXT_WORD = 4
MIN_RUN = 6
MAX_DULL_UNIT = 4  # "abcabcabc...": however often it comes, there is no more than this to guess

DECORATION = string.digits + string.punctuation + string.whitespace
# Each is read round and round and in both directions.
RUNS = (
    "1234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1234567890qwertyuiopasdfghjklzxcvbnm",
    "1234567890qwertzuiopasdfghjklyxcvbnm",
    "1234567890azertyuiopqsdfghjklmwxcvbn",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
)


def reason_against(
    password: str, *, min_length: int, context: Iterable[str] = ()
) -> tuple[str, str] | None:
    """Return why the password is refused, as a code and a message, or ``None`` if it is not.

    Args:
        password: As it was received.
        min_length: In code points of the NFC form.
        context: Words that an attacker would try first: the site's name, the user name, the e-mail
            address (whose part before the @ counts too).
    """
    form = normalised(password)
    if form is None:
        return "too_long", f"The password may have at most {MAX_PASSWORD_LENGTH} characters."
    if len(form) < min_length:
        return "too_short", f"The password must have at least {min_length} characters."
    folded = form.casefold()
    cores = _cores(folded)
    if _is_dull(folded) or any(_is_common(core) for core in cores):
        return "common", "The password is among the first that anybody would guess."
    if not _context_words(context).isdisjoint(_spellings(cores)):
        return "context", "The password is too close to your name, your address or this site."
    return None


def _cores(text: str) -> set[str]:
    """Return the text, the text without the decoration around it, and what each of them repeats."""
    wholes = {text, text.strip(DECORATION)}
    units = {_repeated_unit(whole) for whole in wholes}
    return wholes | units | {unit.strip(DECORATION) for unit in units}


def _repeated_unit(text: str) -> str:
    """Return the shortest text that makes up ``text`` when repeated, the last time perhaps cut."""
    for length in range(1, len(text) // 2 + 1):
        if text.startswith(text[length:]):
            return text[:length]
    return text


def _is_dull(text: str) -> bool:
    unit = _repeated_unit(text)
    return unit != text and len(unit) <= MAX_DULL_UNIT and unit.isascii()


def _is_common(core: str) -> bool:
    return core in _common_passwords() or _is_run(core)


def _is_run(text: str) -> bool:
    if len(text) < MIN_RUN:
        return False
    rounds = [run * (len(text) // len(run) + 2) for run in RUNS]
    return any(text in around or text in around[::-1] for around in rounds)


@functools.cache
def _common_passwords() -> frozenset[str]:
    """Return the 30,000 common passwords that zxcvbn carries. Its scorer takes seconds: not used."""
    # Here, because the import builds zxcvbn's tables, which most processes never need.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    return frozenset(word.casefold() for word in FREQUENCY_LISTS["passwords"])


def _context_words(context: Iterable[str]) -> set[str]:
    words = {unicodedata.normalize("NFC", word).casefold() for word in context}
    words |= {word.rpartition("@")[0] for word in words}
    words |= {word.strip(DECORATION) for word in words}
    return {word for word in _spellings(words) if len(word) >= MIN_CONTEXT_WORD}


def _spellings(words: Iterable[str]) -> set[str]:
    """Return the words, also without what stands between their letters: "Acme Corp", "acmecorp"."""
    return {*words, *("".join(filter(str.isalnum, word)) for word in words)}
