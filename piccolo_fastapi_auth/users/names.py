"""Which usernames and e-mail addresses may be taken: none that looks like another one (UTS 39, EML-6). Pure."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

from piccolo_fastapi_auth.primitives.canonical import canonical

# Letters that are written side by side in one language (UTS 39 section 5.2, "highly restrictive").
_TOGETHER = (
    {"LATIN", "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"},
    {"LATIN", "CJK", "IDEOGRAPHIC", "HANGUL"},
    {"LATIN", "CJK", "IDEOGRAPHIC", "BOPOMOFO"},
)


def checked_username(text: str) -> str:
    """Return a username as it is stored and shown: composed (NFC), otherwise as it was typed.

    Raises:
        ValueError: It is not printable, has spaces around it, or could be taken for another one.
    """
    name = unicodedata.normalize("NFC", text)
    if not name.isprintable() or name != name.strip():
        raise ValueError("must be printable, without spaces around it")
    _refuse_look_alikes(name)
    return name


def checked_address(text: str) -> str:
    """Return an e-mail address in its canonical spelling, without asking the network.

    Raises:
        ValueError: It is no address, or could be taken for another one, or reach one when its case is folded.
    """
    try:
        address = validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError:
        raise ValueError("must be an e-mail address") from None
    folded = canonical(address)
    # Where folding does more than lower-case ("ß" is "ss"), the canonical address is another mailbox.
    if not address.isprintable() or folded != address.lower() or folded.count("@") != 1:
        raise ValueError("must be an e-mail address without look-alikes")
    local, _, domain = address.rpartition("@")
    for part in (local, *domain.split(".")):
        _refuse_look_alikes(part)
    return folded


def _refuse_look_alikes(text: str) -> None:
    """Refuse compatibility forms (a full-width @, a ligature), letters that fold into several ("İ"), and mixed alphabets.

    Raises:
        ValueError: It could be taken for another name.
    """
    if unicodedata.normalize("NFKC", text) != text or any(map(_grows, text)):
        raise ValueError("must not hold characters that look like others")
    found = {_alphabet(character) for character in text if character.isalpha()}
    if len(found) > 1 and not any(found <= together for together in _TOGETHER):
        raise ValueError("must not mix alphabets")


def _grows(character: str) -> bool:
    return len(canonical(character)) > 1 and character not in "ßẞ"


def _alphabet(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0]
