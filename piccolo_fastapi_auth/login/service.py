"""The sequence of a log-in, one for every transport (DESIGN rule 6). No rule of its own: `attempt.decide` has them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import (
    AuthError,
    EmailNotVerifiedError,
    InvalidCodeError,
    InvalidCredentialsError,
    InvalidLinkError,
    MfaTokenExpiredError,
)
from piccolo_fastapi_auth.login import hooks
from piccolo_fastapi_auth.login.attempt import NeedsProof, Refused, Unproven, decide
from piccolo_fastapi_auth.login.hooks import LoginHooks
from piccolo_fastapi_auth.login.trust import Trust
from piccolo_fastapi_auth.mfa.challenge import Challenges, Open, Wanted
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.password_gate import PasswordGate
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.records import Assurance, Identity
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.users.code_guard import CodeGuard
from piccolo_fastapi_auth.users.service import Candidate, UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

# A password that changes between its check and the log-in is checked again; nobody changes it three times.
_ROUNDS = 3
MAGIC_LINK = "magic_link"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody presents to log in; ``code`` answers the challenge at once, where a form has room for it."""

    wanted: Wanted
    password: str = field(repr=False)
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LoggedIn(Generic[UserT]):
    """A session just begun, its person, and the secret to hand out once."""

    identity: Identity[UserT]
    secret: str = field(repr=False)
    device_cookie: str | None = field(default=None, repr=False)
    trust_cookie: str | None = field(default=None, repr=False)


class LoginService(Generic[UserT]):
    """Hooks -> limits -> password -> account state -> second factor -> session."""

    def __init__(
        self,
        *,
        database: Database,
        users: UserService[UserT],
        gate: PasswordGate[UserT],
        sessions: SessionService[UserT],
        mfa: MfaService,
        challenges: Challenges[UserT],
        guard: CodeGuard,
        trust: Trust[UserT],
        assurance: Assurance[UserT],
        login_hooks: LoginHooks,
        lacks_address: Callable[[object], Awaitable[bool]],
        events: Events,
        clock: Clock,
    ) -> None:
        self._database = database
        self._users = users
        self._gate = gate
        self._sessions = sessions
        self._mfa = mfa
        self._challenges = challenges
        self._guard = guard
        self._trust = trust
        self._assurance = assurance
        self._hooks = login_hooks
        self._lacks_address = lacks_address
        self._events = events
        self._clock = clock

    async def log_in(self, attempt: Attempt) -> LoggedIn[UserT]:
        """Begin a session for whoever the name and the password prove.

        Raises:
            InvalidCredentialsError: Unknown, wrong or inactive; never says which.
            RateLimitedError: Too many attempts from there or on that account.
            EmailNotVerifiedError: The password is right, and the address must be proven first.
            MfaRequiredError: A second factor must follow.
            InvalidCodeError: One came along and is wrong.
            AuthError: A hook refused.
            TemporarilyUnavailableError: The hash queue is full.
        """
        wanted = attempt.wanted
        await hooks.run(
            self._hooks.before_login, username=wanted.username, request=wanted.caller.connection
        )
        try:
            return await self._prove_and_start(attempt)
        except InvalidCredentialsError:
            await self._tell_failure(wanted)
            raise

    async def _prove_and_start(self, attempt: Attempt) -> LoggedIn[UserT]:
        wanted = attempt.wanted
        for _ in range(_ROUNDS):
            candidate = await self._users.candidate(wanted.username)
            checked = await self._gate.check(
                attempt.password, candidate, name=wanted.username, caller=wanted.caller
            )
            verdict = checked.verdict
            accepted = candidate is not None and candidate.active and verdict.matches
            decision = decide(
                known=candidate is not None,
                active=candidate is not None and candidate.active,
                password_matches=verdict.matches,
                has_second_factor=accepted
                and candidate is not None
                and await self._mfa.is_enrolled(candidate.user_id)
                and not await self._trust.spares(candidate, wanted.caller),
                lacks_address=accepted
                and candidate is not None
                and await self._lacks_address(candidate.user_id),
            )
            if candidate is None or isinstance(decision, Refused):
                known = candidate and candidate.user_id
                await self._events.record(
                    "login.failed", outcome="failure", user=known, method="password"
                )
                await self._gate.wrong(checked, user=known)
                raise InvalidCredentialsError
            if isinstance(decision, Unproven):
                await self._gate.right(checked)
                raise EmailNotVerifiedError
            if isinstance(decision, NeedsProof):
                await self._gate.right(checked)
                if verdict.replacement is not None:
                    upgraded = await self._users.upgrade(candidate, replacement=verdict.replacement)
                    if upgraded is None:
                        continue  # the account changed meanwhile: look again
                    candidate = upgraded
                return await self._challenge(attempt, candidate)
            async with self._database.atomic():
                logged_in = await self._start(
                    wanted, candidate, ["password"], replacement=verdict.replacement
                )
            if logged_in is None:
                await self._gate.right(checked)  # the account changed meanwhile: look again
                continue
            device_cookie = await self._gate.logged_in(checked, user=candidate.user_id)
            return await self._told(wanted, replace(logged_in, device_cookie=device_cookie))
        raise InvalidCredentialsError

    async def log_in_by_link(
        self, wanted: Wanted, use_up: Callable[[], Awaitable[Candidate]]
    ) -> LoggedIn[UserT]:
        """Begin a session for whoever a link from a mail proves: the same steps, with the link for a password.

        Args:
            wanted: What the log-in shall lead to.
            use_up: Uses the link up, inside the transaction that begins the session.

        Raises:
            InvalidLinkError: The link is not good.
            MfaRequiredError: A second factor must follow.
            AuthError: A hook refused.
        """
        wanted = replace(wanted, first=MAGIC_LINK)
        await hooks.run(
            self._hooks.before_login, username=wanted.username, request=wanted.caller.connection
        )
        try:
            async with self._database.atomic():
                candidate = await use_up()
                enrolled = await self._mfa.is_enrolled(candidate.user_id)
                logged_in = (
                    None
                    if enrolled
                    else await self._start(wanted, candidate, [MAGIC_LINK], replacement=None)
                )
                if logged_in is None and not enrolled:
                    raise InvalidLinkError  # the account changed in this very moment
        except AuthError:
            await self._tell_failure(wanted)
            raise
        if logged_in is None:
            return await self._challenge(Attempt(wanted, ""), candidate)
        return await self._told(wanted, logged_in)

    async def _challenge(self, attempt: Attempt, candidate: Candidate) -> LoggedIn[UserT]:
        """Open a challenge; refuse with it, or answer it at once with the code that came along."""
        token = await self._challenges.begin(candidate, attempt.wanted)
        if attempt.code is None:
            raise await self._challenges.refusal(token, candidate.user_id)
        method = await self._method_of(attempt.code, candidate)
        return await self.complete(
            token, method=method, code=attempt.code, caller=attempt.wanted.caller
        )

    async def _method_of(self, code: str, candidate: Candidate) -> str:
        """Guess a method, for a form with one field: digits are a one-time code, anything else a recovery code."""
        is_digits = code.replace(" ", "").replace("-", "").isdigit()
        usable = await self._mfa.usable(candidate.user_id)
        fitting = [
            name
            for name in usable
            if (name == "recovery_code") != is_digits and not self._mfa.is_sent(name)
        ]
        return fitting[0] if fitting else "recovery_code"

    async def complete(
        self, token: str, *, method: str, code: str, caller: Caller, trust_device: bool = False
    ) -> LoggedIn[UserT]:
        """Answer a challenge and finish the log-in that was begun; ``trust_device`` spares the browser the next one.

        Raises:
            MfaTokenExpiredError: The challenge is over.
            InvalidCodeError: The code is wrong, or was used; the challenge has one try less.
            RateLimitedError: Too many wrong codes for this person, over all challenges.
        """
        challenge = await self._challenges.attempt(token, caller)
        user_id = challenge.candidate.user_id
        counted = await self._gate.count_code(user_id, caller)
        await self._guard.reserve(user_id)
        digests = await self._mfa.digests(user_id, method=method, code=code)
        async with self._database.atomic():
            logged_in = await self._answer(challenge, method=method, code=code, digests=digests)
            if logged_in is not None and trust_device:
                trust_cookie = await self._trust.grant(
                    logged_in.identity.session.id, challenge.candidate
                )
                logged_in = replace(logged_in, trust_cookie=trust_cookie)
        if logged_in is None:
            await self._mfa.note_failure(user_id, method=method)
            await self._tell_failure(challenge.wanted)
            raise InvalidCodeError
        device_cookie = await self._gate.code_was_right(counted)
        return await self._told(challenge.wanted, replace(logged_in, device_cookie=device_cookie))

    async def _answer(
        self, challenge: Open, *, method: str, code: str, digests: Sequence[str]
    ) -> LoggedIn[UserT] | None:
        """Use up the code and the challenge and begin the session: all of it or nothing."""
        await self._users.hold(
            challenge.candidate.user_id
        )  # in the order in which others take the rows
        if not await self._mfa.prove(
            challenge.candidate.user_id,
            method=method,
            code=code,
            digests=digests,
            flow=challenge.flow,
        ):
            return None
        await self._challenges.consume(challenge)
        await self._guard.give_back(challenge.candidate.user_id)
        logged_in = await self._start(
            challenge.wanted,
            challenge.candidate,
            [challenge.wanted.first, method],
            replacement=None,
        )
        if logged_in is None:
            raise MfaTokenExpiredError  # the account changed in this very moment
        return logged_in

    async def _start(
        self,
        wanted: Wanted,
        candidate: Candidate,
        methods: Sequence[str],
        *,
        replacement: str | None,
    ) -> LoggedIn[UserT] | None:
        """Begin the session, inside a transaction; ``None`` when the account changed since it was checked."""
        caller = wanted.caller
        if not await self._users.admit(candidate, replacement=replacement):
            return None
        trusted = None
        if len(methods) == 1 and await self._mfa.is_enrolled(candidate.user_id):
            trusted = await self._trust.take_over(candidate, caller)
            if trusted is None:
                return None  # enrolled, or trusted no more, since it was checked: look again
        if caller.cookie_digest is not None:  # no fixation: the browser's old session ends here
            await self._sessions.end_by_cookie(caller.cookie_digest)
        started = await self._sessions.start(
            candidate.user_id,
            transport=wanted.transport,
            methods=methods,
            scope=wanted.scope,
            ip=caller.ip,
            user_agent=caller.user_agent,
            authenticated_at=self._clock() if trusted is None else trusted.since,
        )
        await self._events.record(
            "login.succeeded",
            user=candidate.user_id,
            actor=candidate.user_id,
            session_id=started.session_id,
            method=methods[-1],
            detail={"transport": wanted.transport},
        )
        trust_cookie = None
        if trusted is not None:
            known = replace(candidate, password_hash=replacement or candidate.password_hash)
            trust_cookie = await self._trust.grant(started.session_id, known, trusted=trusted)
        identity = await self._sessions.find.by_id(started.session_id, now=self._clock())
        if identity is None:
            return None
        return LoggedIn(identity, started.secret, trust_cookie=trust_cookie)

    async def _told(self, wanted: Wanted, logged_in: LoggedIn[UserT]) -> LoggedIn[UserT]:
        """Run the hooks of a success, outside the transaction: the application's code may take its time."""
        identity = logged_in.identity
        try:
            if (
                wanted.transport == "bearer"
            ):  # no token for somebody who must first set up a second factor
                await self._assurance.check_policy(identity)
            await hooks.run(
                self._hooks.after_login,
                username=wanted.username,
                request=wanted.caller.connection,
                user=identity.user,
                session=identity.session,
            )
        except BaseException:
            # Nobody was given the session's secret yet; without this it would stay in the person's list.
            await self._sessions.end(identity.session.id, reason="refused")
            raise
        return logged_in

    async def _tell_failure(self, wanted: Wanted) -> None:
        await hooks.run(
            self._hooks.login_failed, username=wanted.username, request=wanted.caller.connection
        )
