"""The three tables of Piccolo API, and what a row of each becomes here. Piccolo API itself is not needed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Final, Protocol, TypeVar, cast

from piccolo_fastapi_auth.api_keys.moved import OLD_TOKEN, MovedKey, MovedKeys
from piccolo_fastapi_auth.database import Database, Row
from piccolo_fastapi_auth.mfa.moved import MovedFactor, MovedFactors
from piccolo_fastapi_auth.moving.decryption import Decrypt, NotDecryptedError
from piccolo_fastapi_auth.moving.report import Report
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.sessions.moved import MovedSession, MovedSessions

ItemT = TypeVar("ItemT")

_BASE32: Final = re.compile(r"[A-Z2-7]{16,128}")


class NotMovedError(Exception):
    """A row stays where it is; the text is the reason, and holds nothing of the row."""


class Mover(Protocol[ItemT]):
    """A table to read, and what its rows become."""

    @property
    def table(self) -> str:
        """Its name."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """What is read of it, beside ``id``."""
        ...

    @property
    def owner(self) -> str:
        """The column that names the person."""
        ...

    @property
    def opens(self) -> bool:
        """Whether it lets its person in, as a second factor does not."""
        ...

    async def context(self, rows: Sequence[Row]) -> Mapping[object, object]:
        """Return what must be known of other rows to judge these."""
        ...

    def judge(self, row: Row, context: Mapping[object, object], *, now: datetime) -> ItemT:
        """Return what a row becomes.

        Raises:
            NotMovedError: It stays where it is.
        """
        ...

    async def add(self, items: Sequence[tuple[object, ItemT]], report: Report) -> int:
        """Store what belongs to people, given with their keys; return how many were new."""
        ...


@dataclass(frozen=True, slots=True)
class SessionMover:
    """``sessions``: the token in plain text, and local times without a zone."""

    sessions: MovedSessions
    zone: tzinfo | None
    table: str = "sessions"
    columns: Sequence[str] = ("token", "user_id", "expiry_date", "max_expiry_date")
    owner: str = "user_id"
    opens: bool = True

    async def context(self, rows: Sequence[Row]) -> Mapping[object, object]:
        """Nothing."""
        del rows
        return {}

    def judge(self, row: Row, context: Mapping[object, object], *, now: datetime) -> MovedSession:
        """Take a live session with a token of theirs."""
        del context
        token_hash = opaque_tokens.digest(str(row["token"]))
        if token_hash is None:
            raise NotMovedError("the token is not of the form that Piccolo API makes")
        ends = [self._moment(row[name]) for name in ("expiry_date", "max_expiry_date")]
        if min(ends) <= now:
            raise NotMovedError("the session has expired")
        return MovedSession(token_hash, expires_at=ends[1])

    def _moment(self, value: object) -> datetime:
        """Read a time of theirs. An hour that comes twice is the later one: until then the old session is good."""
        moment = cast("datetime", value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone, fold=1)
        return moment.astimezone(UTC)

    async def add(self, items: Sequence[tuple[object, MovedSession]], report: Report) -> int:
        """Store the digests."""
        del report
        return await self.sessions.add(items)


@dataclass(frozen=True, slots=True)
class TokenMover:
    """``token_auth``: tokens in plain text that never end."""

    keys: MovedKeys
    scopes: Sequence[str]
    table: str = "token_auth"
    columns: Sequence[str] = ("token", "user")
    owner: str = "user"
    opens: bool = True

    async def context(self, rows: Sequence[Row]) -> Mapping[object, object]:
        """Nothing."""
        del rows
        return {}

    def judge(self, row: Row, context: Mapping[object, object], *, now: datetime) -> MovedKey:
        """Take a token that Piccolo API made: nobody knows how well another one can be guessed."""
        del context, now
        token = str(row["token"])
        if not OLD_TOKEN.fullmatch(token):
            raise NotMovedError("the token is not of the form that Piccolo API makes")
        return MovedKey.of(token)

    async def add(self, items: Sequence[tuple[object, MovedKey]], report: Report) -> int:
        """Store the digests."""
        del report
        return await self.keys.add(items, scopes=self.scopes)


@dataclass(frozen=True, slots=True)
class AuthenticatorMover:
    """``authenticator_secret``: an encrypted secret, and PBKDF2 hashes of recovery codes."""

    database: Database
    factors: MovedFactors
    decrypt: Decrypt = field(repr=False)
    table: str = "authenticator_secret"
    columns: Sequence[str] = (
        "user_id", "secret", "recovery_codes", "created_at", "revoked_at", "last_used_at",
    )  # fmt: skip
    owner: str = "user_id"
    opens: bool = False

    async def context(self, rows: Sequence[Row]) -> Mapping[object, object]:
        """Find the newest secret of each person: Piccolo API looks at no other."""
        known = await self.database.rows(
            f'SELECT "id", "user_id", "created_at" FROM {self.table} WHERE "revoked_at" IS NULL'  # noqa: S608 - names of ours
            f' AND "user_id" IN (SELECT "user_id" FROM {self.table} WHERE "id" BETWEEN {{}} AND {{}})',
            rows[0]["id"],
            rows[-1]["id"],
        )
        ordered = sorted(known, key=lambda row: (cast("datetime", row["created_at"]), row["id"]))
        return {row["user_id"]: row["id"] for row in ordered}

    def judge(self, row: Row, context: Mapping[object, object], *, now: datetime) -> MovedFactor:
        """Take the secret that a person uses."""
        del now
        if row["revoked_at"] is not None:
            raise NotMovedError("the authenticator was revoked")
        if context[row["user_id"]] != row["id"]:
            raise NotMovedError("the person has a newer authenticator")
        try:
            secret = self.decrypt(str(row["secret"]))
        except NotDecryptedError as error:
            raise NotMovedError(str(error)) from None
        if not _BASE32.fullmatch(secret):
            raise NotMovedError("the secret is not base32")
        used, codes = row["last_used_at"], row["recovery_codes"]
        return MovedFactor(
            secret=secret,
            recovery_codes=json.loads(codes) if isinstance(codes, str) else list(codes or ()),
            created_at=cast("datetime", row["created_at"]).astimezone(UTC),
            last_used_at=None if used is None else cast("datetime", used).astimezone(UTC),
        )

    async def add(self, items: Sequence[tuple[object, MovedFactor]], report: Report) -> int:
        """Seal the secrets anew."""
        added = await self.factors.add(items)
        report.notes.update(added.notes)
        return added.count
