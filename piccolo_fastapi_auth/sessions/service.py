"""What happens to sessions: start, refresh, renew, list, end. The only writer of `auth_session`."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID, uuid4

from piccolo.columns.combination import WhereRaw
from piccolo.custom_types import Combinable

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import InvalidTokenError, SessionExpiredError, TokenReusedError
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions import rotation
from piccolo_fastapi_auth.sessions.ending import SessionEnds
from piccolo_fastapi_auth.sessions.lookup import SessionLookup, primary_key, quoted, session_from
from piccolo_fastapi_auth.sessions.records import Identity, RefreshState, Session, TransportName
from piccolo_fastapi_auth.sessions.tables import AuthSession, AuthTrustedDevice
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

TOUCH_INTERVAL = timedelta(minutes=1)
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Started:
    """A new or renewed session and its secret: the cookie's token, or the refresh token."""

    session_id: UUID
    secret: str = field(repr=False)


class SessionService(SessionEnds, Generic[UserT]):
    """Sessions of one ``Auth``. Each decision that matters is one conditional statement."""

    def __init__(
        self,
        database: Database,
        user_table: type[UserT],
        settings: AuthSettings,
        *,
        events: Events,
        clock: Clock,
    ) -> None:
        super().__init__(database, events)
        self._settings = settings
        self._clock = clock
        self._keys = [
            opaque_tokens.derive_key(secret, purpose="refresh") for secret in settings.secrets
        ]
        self.find = SessionLookup(database, user_table, idle_timeout=settings.session_idle_timeout)
        is_active = (
            f"EXISTS (SELECT 1 FROM {user_table._meta.tablename} u"
            f" WHERE {quoted(primary_key(user_table), table='u')} = {AuthSession._meta.tablename}.{quoted(AuthSession.user)}"
            f" AND {quoted(user_table.active, table='u')})"
        )
        self._user_is_active = WhereRaw(is_active)

    async def start(
        self,
        user_id: object,
        *,
        transport: TransportName,
        methods: Sequence[str],
        scope: Sequence[str] | None,
        ip: str | None,
        user_agent: str | None,
        authenticated_at: datetime,
        actor: object = None,
        lifetime: timedelta | None = None,
    ) -> Started:
        """Make the row of a sign-in. Call it inside the transaction that proved the person.

        ``authenticated_at`` is when they last showed all that they must: now, or earlier on a trusted browser.
        With an ``actor`` it is somebody who acts as the person: no refresh, and no session of the person ends for it.
        """
        session_id, now = uuid4(), self._clock()
        secret, digest, salt = self._new_secret(session_id, transport)
        row = AuthSession(
            id=session_id,
            user=user_id,
            transport=transport,
            token_hash=digest,
            refresh_salt=salt if actor is None else None,
            actor=actor,
            created_at=now,
            authenticated_at=authenticated_at,
            last_seen_at=now,
            expires_at=now + (lifetime or self._settings.session_lifetime),
            methods=" ".join(methods),
            scope=None if scope is None else " ".join(scope),
            ip=ip,
            user_agent=user_agent,
        )
        await AuthSession.insert(row)
        if self._settings.max_sessions is not None and actor is None:
            await self._end_oldest(user_id, keep=self._settings.max_sessions, newest=session_id)
        return Started(session_id, secret)

    def _new_secret(
        self, session_id: UUID, transport: TransportName
    ) -> tuple[str, str | None, str | None]:
        """Return the secret to hand out, and what to store of it: a digest or a salt."""
        if transport == "cookie":
            token = opaque_tokens.new_token()
            return token, opaque_tokens.digest(token), None
        salt = secrets.token_urlsafe(32)
        return self._refresh_token(session_id, RefreshState(0, salt, None)), None, salt

    def _refresh_token(self, session_id: UUID, state: RefreshState) -> str:
        return rotation.issue(
            session_id, generation=state.generation, salt=state.salt, key=self._keys[0]
        )

    async def _end_oldest(self, user_id: object, *, keep: int, newest: UUID) -> None:
        """End all but the newest ``keep`` live sessions; the log-in holds the user's row, so none slips past."""
        now = self._clock()
        rows = (
            await AuthSession.select(AuthSession.id)
            .where(AuthSession.user == user_id, *self._live(now))
            .order_by(AuthSession.created_at, ascending=False)
        )
        # Two sign-ins of one instant: the one just made counts as the newer.
        others = [row["id"] for row in rows if row["id"] != newest]
        if extra := others[keep - 1 :]:
            await AuthSession.delete().where(AuthSession.id.is_in(extra))

    async def refresh(self, token: str) -> tuple[Identity[UserT], str]:
        """Exchange a refresh token for its successor (RFC 6749 section 6, RFC 9700 section 4.14.2).

        Raises:
            InvalidTokenError: Malformed, forged, or its session has ended. Nothing is ended by it.
            TokenReusedError: Genuine, but its successor was used: the whole session is ended.
        """
        presented = rotation.parse(token)
        if presented is None:
            raise InvalidTokenError
        for _ in range(_ROUNDS):
            identity, state = await self._presented_at(presented)
            now = self._clock()
            match rotation.judge(
                presented.generation, current=state.generation, rotated_at=state.rotated_at,
                now=now, grace=self._settings.refresh_grace,
            ):  # fmt: skip
                case rotation.Verdict.ROTATE:
                    if await self._rotate(identity.session.id, state, now):
                        successor = RefreshState(presented.generation + 1, state.salt, now)
                        return identity, self._refresh_token(identity.session.id, successor)
                    # Another request was first: look again, this token is now the previous one.
                case rotation.Verdict.REPEAT:
                    return identity, self._refresh_token(identity.session.id, state)
                case rotation.Verdict.REUSED:
                    await self._end_reused(identity.session)
                    raise TokenReusedError
                case rotation.Verdict.UNKNOWN:
                    break
        raise InvalidTokenError

    async def _end_reused(self, session: Session) -> None:
        """End the session whose refresh token came twice; of several who present it, the first leaves the event."""
        async with self._database.atomic():
            if await self._delete(AuthSession.id == session.id):
                await self._events.record(
                    "token.reused", outcome="failure", user=session.user_id, session_id=session.id
                )

    async def _presented_at(
        self, presented: rotation.RefreshToken
    ) -> tuple[Identity[UserT], RefreshState]:
        """Return the live session of a genuine token."""
        identity = await self.find.by_id(presented.session_id, now=self._clock())
        if identity is None or identity.refresh is None:
            raise InvalidTokenError
        if not rotation.is_genuine(presented, salt=identity.refresh.salt, keys=self._keys):
            raise InvalidTokenError
        return identity, identity.refresh

    async def _rotate(self, session_id: UUID, state: RefreshState, now: datetime) -> bool:
        """Move one generation on, if nobody else did and the session is still good."""
        rows = await self._database.write(
            AuthSession.update(
                {
                    AuthSession.generation: state.generation + 1,
                    AuthSession.rotated_at: now,
                    AuthSession.last_seen_at: now,
                }
            )
            .where(
                AuthSession.id == session_id,
                AuthSession.generation == state.generation,
                AuthSession.refresh_salt == state.salt,
                *self._live(now),
                self._user_is_active,
            )
            .returning(AuthSession.id)
        )
        return bool(rows)

    async def renew(self, identity: Identity[UserT], *, methods: Sequence[str]) -> str:
        """Record a new proof of the person: now is ``authenticated_at``, and the secret is a new one (ASVS 7.2.4).

        Raises:
            SessionExpiredError: The session ended meanwhile.
        """
        now = self._clock()
        session = identity.session
        # With its new salt no refresh token made before is genuine any more, and none has grace.
        secret, digest, salt = self._new_secret(session.id, session.transport)
        rows = await self._database.write(
            AuthSession.update(
                {
                    AuthSession.token_hash: digest,
                    AuthSession.refresh_salt: salt,
                    AuthSession.generation: 0,
                    AuthSession.rotated_at: None,
                    AuthSession.authenticated_at: now,
                    AuthSession.last_seen_at: now,
                    AuthSession.expires_at: now + self._settings.session_lifetime,
                    AuthSession.methods: " ".join(dict.fromkeys([*session.methods, *methods])),
                }
            )
            .where(AuthSession.id == session.id, *self._live(now), self._user_is_active)
            .returning(AuthSession.id)
        )
        if not rows:
            raise SessionExpiredError
        return secret

    async def reauthenticate(self, identity: Identity[UserT], *, method: str) -> str:
        """Record that the person proved again to be there; return the new secret.

        Raises:
            SessionExpiredError: The session ended meanwhile.
        """
        session = identity.session
        async with self._database.atomic():
            secret = await self.renew(identity, methods=[method])
            await self._events.record(
                "session.reauthenticated",
                user=session.user_id,
                session_id=session.id,
                method=method,
            )
        return secret

    async def add_method(self, session: Session, method: str) -> None:
        """Note that the person behind a session proved one method more."""
        methods = " ".join(dict.fromkeys([*session.methods, method]))
        await self._database.write(
            AuthSession.update({AuthSession.methods: methods}).where(AuthSession.id == session.id)
        )

    async def touch(self, session: Session) -> None:
        """Note that a session is in use; at most one write a minute, however many requests."""
        now = self._clock()
        if now - session.last_seen_at < TOUCH_INTERVAL:
            return
        await self._database.write(
            AuthSession.update({AuthSession.last_seen_at: now}).where(
                AuthSession.id == session.id, AuthSession.last_seen_at <= now - TOUCH_INTERVAL
            )
        )

    async def of_user(self, user_id: object) -> list[Session]:
        """Return a person's live sessions, newest first."""
        now = self._clock()
        rows = await (
            AuthSession.select(*AuthSession.all_columns(exclude=["token_hash", "refresh_salt"]))
            .where(AuthSession.user == user_id, *self._live(now))
            .order_by(AuthSession.created_at, ascending=False)
        )
        return [session_from(row) for row in rows]

    async def end_by_refresh_token(self, token: str) -> bool:
        """End the session of a refresh token, whichever generation; a forged one ends nothing."""
        found = await self._genuine(token)
        return found is not None and await self.end(found[0].session.id, reason="revoked")

    async def by_refresh_token(self, token: str) -> Identity[UserT] | None:
        """Return the live session of a refresh token that can still be exchanged; nothing is rotated or ended."""
        found = await self._genuine(token)
        if found is None or found[1].generation != found[2]:
            return None
        return found[0]

    async def _genuine(self, token: str) -> tuple[Identity[UserT], RefreshState, int] | None:
        """Return the session of a genuine refresh token, its state, and the generation presented."""
        presented = rotation.parse(token)
        if presented is None:
            return None
        try:
            return *await self._presented_at(presented), presented.generation
        except InvalidTokenError:
            return None

    async def clean(self, *, most: int) -> int:
        """Delete sessions that have ended by themselves, at most so many; return how many.

        But for those whose browser is trusted still: the trust would go with the row.
        """
        now, table, trusted = self._clock(), AuthSession, AuthTrustedDevice
        spared = trusted.select(trusted.session).where(trusted.expires_at > now)
        ended = (table.expires_at <= now) | (table.last_seen_at <= self.find.idle_since(now))
        dead = ended & table.id.not_in(spared)
        return await self._database.delete_some(table, table.id, dead, most=most)

    def _live(self, now: datetime) -> list[Combinable]:
        """Return the conditions of a session that has not ended by itself."""
        return [AuthSession.expires_at > now, AuthSession.last_seen_at > self.find.idle_since(now)]
