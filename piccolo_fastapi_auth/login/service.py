"""The sequence of a log-in, one for every transport (DESIGN rule 6). No rule of its own: `attempt.decide` has them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import InvalidCredentialsError
from piccolo_fastapi_auth.login import hooks
from piccolo_fastapi_auth.login.attempt import Refused, decide
from piccolo_fastapi_auth.login.hooks import LoginHooks
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.records import Identity, TransportName
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.users.service import Candidate, UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

# A password that changes between its check and the log-in is checked again; nobody changes it three times.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody presents to log in. ``scope`` is what was asked for; ``None`` asks for all."""

    username: str
    password: str = field(repr=False)
    transport: TransportName
    caller: Caller
    scope: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn(Generic[UserT]):
    """A session just begun, its person, and the secret to hand out once."""

    identity: Identity[UserT]
    secret: str = field(repr=False)


class LoginService(Generic[UserT]):
    """Limits -> password -> account state -> hooks -> session."""

    def __init__(
        self,
        *,
        database: Database,
        users: UserService[UserT],
        sessions: SessionService[UserT],
        login_hooks: LoginHooks,
        clock: Clock,
    ) -> None:
        self._database = database
        self._users = users
        self._sessions = sessions
        self._hooks = login_hooks
        self._clock = clock

    async def log_in(self, attempt: Attempt) -> LoggedIn[UserT]:
        """Begin a session for whoever the name and the password prove.

        Raises:
            InvalidCredentialsError: Unknown, wrong or inactive; never says which.
            AuthError: A hook refused.
            TemporarilyUnavailableError: The hash queue is full.
        """
        told = {"username": attempt.username, "request": attempt.caller.connection}
        await hooks.run(self._hooks.before_login, **told)
        try:
            return await self._prove_and_start(attempt)
        except InvalidCredentialsError:
            await hooks.run(self._hooks.login_failed, **told)
            raise

    async def _prove_and_start(self, attempt: Attempt) -> LoggedIn[UserT]:
        for _ in range(_ROUNDS):
            candidate = await self._users.candidate(attempt.username)
            verdict = await self._users.check(attempt.password, candidate)
            decision = decide(
                known=candidate is not None,
                active=candidate is not None and candidate.active,
                password_matches=verdict.matches,
            )
            if candidate is None or isinstance(decision, Refused):
                raise InvalidCredentialsError
            logged_in = await self._start(attempt, candidate, replacement=verdict.replacement)
            if logged_in is not None:
                return logged_in
        raise InvalidCredentialsError

    async def _start(
        self, attempt: Attempt, candidate: Candidate, *, replacement: str | None
    ) -> LoggedIn[UserT] | None:
        """Begin the session in one transaction; ``None`` when the account changed since it was checked."""
        caller = attempt.caller
        async with self._database.atomic():
            if not await self._users.admit(candidate, replacement=replacement):
                return None
            if caller.cookie_digest is not None:  # no fixation: the browser's old session ends here
                await self._sessions.end_by_cookie(caller.cookie_digest)
            started = await self._sessions.start(
                candidate.user_id,
                transport=attempt.transport,
                methods=["password"],
                scope=attempt.scope,
                ip=caller.ip,
                user_agent=caller.user_agent,
                authenticated_at=self._clock(),
            )
            identity = await self._sessions.find.by_id(started.session_id, now=self._clock())
        if identity is None:  # the account's life ended in this very moment
            return None
        await self._tell(attempt, identity)
        return LoggedIn(identity, started.secret)

    async def _tell(self, attempt: Attempt, identity: Identity[UserT]) -> None:
        """Run the hooks of a success, outside the transaction: the application's code may take its time."""
        try:
            await hooks.run(
                self._hooks.after_login,
                username=attempt.username,
                request=attempt.caller.connection,
                user=identity.user,
                session=identity.session,
            )
        except BaseException:
            # Nobody was given the session's secret yet; without this it would stay in the person's list.
            await self._sessions.end(identity.session.id)
            raise
