"""The one spelling under which a name is looked up and counted: compatibility forms and case aside (Unicode NFKC_Casefold)."""

import unicodedata


def canonical(text: str) -> str:
    """Return the canonical spelling of a username or an e-mail address, without blanks around it."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()
