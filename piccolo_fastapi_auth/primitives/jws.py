"""Signed text in compact form (RFC 7515 section 7.1), judged before it is believed. Shared by all kinds of JWT.

The caller says which keys a header may lead to; nothing in the token chooses how it is verified.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol

from piccolo_fastapi_auth.primitives import base64url


class NotSignedError(ValueError):
    """None of the keys signed it."""


class Verifier(Protocol):
    """A prebuilt key of python-jose: it knows its algorithm."""

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Say whether ``sig`` is this key's signature of ``msg``."""
        ...


def verified(
    token: str, *, keys_for: Callable[[str], Sequence[Verifier]], longest: int
) -> dict[str, object]:
    """Return the payload's members of a token that one of the keys signed.

    Args:
        token: Whatever text came.
        keys_for: From the header's segment to the keys that may have signed; raises when it is not acceptable.
        longest: More characters are not even split.

    Raises:
        NotSignedError: None of the keys signed it.
        ValueError: It is malformed.
        RecursionError: Its JSON is nested too deeply.
        JOSEError: A key could not verify.
    """
    if len(token) > longest:
        raise ValueError("too long")
    header, payload, signature = token.split(".", 3)  # a ValueError unless there are three
    keys = keys_for(header)
    signed = f"{header}.{payload}".encode("ascii")
    proof = base64url.decode(signature)
    if not _is_signed(signed, proof, keys=keys):
        raise NotSignedError("not signed by one of these keys")
    return members(payload)


def members(segment: str) -> dict[str, object]:
    """Return the members of a base64url JSON object, unverified.

    Raises:
        ValueError: It is no such thing, or a member appears twice.
    """
    return json_object(base64url.decode(segment))


def segment(content: Mapping[str, object]) -> str:
    """Return the base64url JSON of ``content``."""
    return base64url.encode(json.dumps(content, separators=(",", ":")).encode())


def json_object(text: bytes) -> dict[str, object]:
    """Read strict JSON: one object, no member twice, no NaN.

    Raises:
        ValueError: It is anything else.
    """
    found: object = _JSON.decode(text.decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  one exception type for all of it
    return found


def _is_signed(signed: bytes, proof: bytes, *, keys: Sequence[Verifier]) -> bool:
    for key in keys:  # noqa: SIM110  any() with a generator costs a tenth of the whole on this path
        if key.verify(signed, proof):
            return True
    return False


def _members_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):  # RFC 8725 section 2.4: two readers might choose differently
        raise ValueError("a member appears twice")
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_members_once, parse_constant=_refuse_constant)
