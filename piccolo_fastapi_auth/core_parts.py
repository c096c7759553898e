"""The services behind a log-in: people, limits, second factors, sessions; in the order in which they need each other."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast
from uuid import UUID

from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.api_keys.moved_tokens import MovedTokens
from piccolo_fastapi_auth.api_keys.service import ApiKeyService
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.audit.telemetry import is_traced, put_span
from piccolo_fastapi_auth.backends import AuthBackend, Backends
from piccolo_fastapi_auth.breaches import BreachCheck
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.captcha import Captcha
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.login.hooks import LoginHooks
from piccolo_fastapi_auth.login.service import LoginService
from piccolo_fastapi_auth.login.trust import Trust
from piccolo_fastapi_auth.mail.links import Links
from piccolo_fastapi_auth.mail.mail_limit import MailLimit
from piccolo_fastapi_auth.mail.mailers import ConsoleMailer, Mailer
from piccolo_fastapi_auth.mail.outbox import Outbox
from piccolo_fastapi_auth.mail.templates import MailTemplates, Overrides
from piccolo_fastapi_auth.mfa.assurance import Assurance
from piccolo_fastapi_auth.mfa.challenge import Challenges
from piccolo_fastapi_auth.mfa.flows import MfaFlows
from piccolo_fastapi_auth.mfa.method import MfaMethod, without_credit
from piccolo_fastapi_auth.mfa.methods.recovery_codes import RecoveryCodes
from piccolo_fastapi_auth.mfa.notices import MailedCodes, Notices
from piccolo_fastapi_auth.mfa.proof import Prover
from piccolo_fastapi_auth.mfa.recovery import RecoveryService
from piccolo_fastapi_auth.mfa.sending import SentCodes
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.mfa.states import States
from piccolo_fastapi_auth.moved_jwts import MovedJwts
from piccolo_fastapi_auth.oauth.introspection import Introspector
from piccolo_fastapi_auth.one_time_tokens.service import OneTimeTokens
from piccolo_fastapi_auth.password_gate import PasswordGate
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.primitives.hash_pool import HashPool
from piccolo_fastapi_auth.primitives.opaque_tokens import derive_key
from piccolo_fastapi_auth.primitives.passwords import PasswordHasher
from piccolo_fastapi_auth.primitives.sealing import Sealer
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.rate_limits.login_guard import LoginGuard
from piccolo_fastapi_auth.rate_limits.store import BoundedStore
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.sessions.lookup import primary_key
from piccolo_fastapi_auth.sessions.origin_check import OriginCheck
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.sessions.trusted_devices import TrustedDevices
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.static_tokens import StaticTokens
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.address_book import AddressBook
from piccolo_fastapi_auth.users.code_guard import CodeGuard
from piccolo_fastapi_auth.users.roles import Roles
from piccolo_fastapi_auth.users.scopes import Scopes
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


@dataclass(frozen=True, slots=True)
class Chosen(Generic[UserT]):
    """What an application gave to its ``Auth``, checked and with the defaults filled in."""

    settings: AuthSettings
    user_table: type[UserT]
    mfa: Sequence[MfaMethod | RecoveryCodes]
    scopes: Scopes[UserT]
    hooks: LoginHooks
    clock: Clock
    hasher: PasswordHasher
    backends: Sequence[AuthBackend[UserT]] = ()
    mailer: Mailer = field(default_factory=ConsoleMailer)
    mail_templates: Overrides | None = None
    link_urls: Mapping[str, str] | None = None
    breach_check: BreachCheck | None = None
    captcha: Captcha | None = None


class CoreParts(Generic[UserT]):
    """The services behind a log-in, of one ``Auth``. Nothing here is shared with another one."""

    def __init__(self, chosen: Chosen[UserT]) -> None:
        self.settings, self.clock, self.scopes = chosen.settings, chosen.clock, chosen.scopes
        self.transport = Transport(chosen.settings)
        self.limiter = RateLimiter(
            chosen.settings.rate_limit_storage,
            strategy=chosen.settings.rate_limit_strategy,
            on_store_failure=chosen.settings.rate_limit_on_store_failure,
            headers=chosen.settings.rate_limit_headers,
            slowapi_headers=chosen.settings.rate_limit_slowapi_headers,
            trusted_proxies=chosen.settings.trusted_proxies,
            clock=chosen.clock,
        )
        self.user_table = chosen.user_table
        self.database = Database(chosen.user_table)
        self.events = Events(self.database, caller_of=self._caller_of, clock=chosen.clock)
        self.pool = HashPool(
            workers=chosen.settings.hash_concurrency, queue=chosen.settings.hash_queue
        )
        self.roles = Roles(self.database, declared=self.scopes.declared, clock=chosen.clock)
        self.scopes.by_roles = self.roles.scopes_of
        self.breach_check, self.captcha = chosen.breach_check, chosen.captcha
        self._build_mail(chosen)
        self._build_people(chosen)
        self._build_gate()
        self._build_mfa(chosen.mfa)
        self._build_flows(chosen.hooks)

    def _caller_of(self, connection: object) -> Caller:
        return self.transport.caller(cast("HTTPConnection", connection))

    def _build_mail(self, chosen: Chosen[UserT]) -> None:
        settings = chosen.settings
        self.links = Links(settings, chosen.link_urls)
        self.outbox = Outbox(
            chosen.mailer,
            MailTemplates(chosen.mail_templates),
            origin=settings.public_origin,
            clock=chosen.clock,
        )
        self.mail_limit = MailLimit(
            self.limiter,
            settings.mail_limit_per_address,
            key=derive_key(settings.secrets[0], purpose="mail limit"),
        )

    def _build_people(self, chosen: Chosen[UserT]) -> None:
        settings, table, clock = chosen.settings, chosen.user_table, chosen.clock
        self.users = UserService(
            self.database, table, hasher=chosen.hasher, pool=self.pool, clock=clock
        )
        self.book = AddressBook(self.database, table, self.users)
        self.sessions = SessionService(
            self.database, table, settings, events=self.events, clock=clock
        )
        self.origins = OriginCheck(
            transport=self.transport,
            find=self.sessions.find,
            counters=self.limiter.service,
            events=self.events,
            clock=clock,
        )
        self.tokens = AccessTokens(
            settings,
            clock=clock,
            user_key=primary_key(table),
            without_credit=without_credit(chosen.mfa),
        )
        self.api_keys = ApiKeyService(
            self.database,
            table,
            settings,
            hold=self.users.hold,
            is_live=self._is_live,
            events=self.events,
            clock=clock,
        )
        self.states = States(self.database, sealer=Sealer(settings.sealing_keys))
        self._build_authenticator(chosen)

    def _build_authenticator(self, chosen: Chosen[UserT]) -> None:
        settings, clock = chosen.settings, chosen.clock
        fixed: list[AuthBackend[UserT]] = []
        if settings.static_tokens:
            fixed.append(StaticTokens[UserT](settings.static_tokens))
        if settings.moved_tokens:
            fixed.append(MovedTokens(self.api_keys))
        if settings.moved_jwt_secrets:
            fixed.append(
                MovedJwts(
                    settings.moved_jwt_secrets,
                    holder=self._holder_of_old_jwt,
                    clock=clock,
                )
            )
        self.authenticator = Authenticator(
            transport=self.transport,
            sessions=self.sessions,
            tokens=self.tokens,
            scopes=self.scopes,
            origins=self.origins,
            keys=self.api_keys,
            backends=Backends([*fixed, *chosen.backends]),
            clock=clock,
        )

    async def _holder_of_old_jwt(self, name: str) -> UserT | None:
        """Return who may use a JWT of Piccolo API: nobody with a second factor, or with a password from here."""
        user_id = self.tokens.key(name)
        if (
            user_id is None
            or await self.mfa.is_enrolled(user_id)
            or await self.users.has_new_password(user_id)
        ):
            return None
        return await self.users.read(user_id)

    def _build_gate(self) -> None:
        settings = self.settings
        keys = self._keys_for("login guard")
        # A memory of its own: what strangers do to the application's limits must not push out a lock.
        counters = self.limiter.service.apart(BoundedStore(clock=self.clock))
        new = functools.partial(
            LoginGuard, counters, keys, headers=settings.rate_limit_headers, clock=self.clock
        )
        self.gate = PasswordGate(
            users=self.users,
            passwords=new(
                per_address=settings.login_limit_per_ip,
                per_account=settings.login_limit_per_account,
            ),
            codes=new(per_address=settings.login_limit_per_ip, per_account="", namespace="CODE"),
            events=self.events,
        )

    def _keys_for(self, purpose: str) -> list[bytes]:
        return [derive_key(secret, purpose=purpose) for secret in self.settings.secrets]

    def _build_mfa(self, methods: Sequence[MfaMethod | RecoveryCodes]) -> None:
        codes = [method for method in methods if isinstance(method, RecoveryCodes)]
        self.code_guard = CodeGuard(self.database, clock=self.clock)
        notices = Notices(self.outbox, address_of=self.users.address)
        self.mfa = MfaService(
            self.database,
            methods=[method for method in methods if not isinstance(method, RecoveryCodes)],
            recovery=RecoveryService(
                self.database,
                codes=codes[0] if codes else None,
                off_the_loop=self.users.off_the_loop,
                events=self.events,
                clock=self.clock,
            ),
            states=self.states,
            notices=notices,
            hold=self.users.hold,
            events=self.events,
            clock=self.clock,
        )
        self.sent_codes = SentCodes(
            self.mfa,
            self.states,
            mail=MailedCodes(self.outbox),
            wait=self.mail_limit.wait,
            lifetime=self.settings.email_code_lifetime,
            clock=self.clock,
        )
        self.mfa_flows = MfaFlows(
            database=self.database,
            users=self.users,
            mfa=self.mfa,
            sessions=self.sessions,
            sent=self.sent_codes,
            guard=self.code_guard,
            events=self.events,
            notices=notices,
            gate=self.gate,
        )
        self.prover = Prover(users=self.users, gate=self.gate, mfa=self.mfa, flows=self.mfa_flows)
        self.assurance = Assurance[UserT](self.settings, self.mfa)
        self.introspector = Introspector(
            self.settings,
            sessions=self.sessions,
            tokens=self.tokens,
            api_keys=self.api_keys,
            scopes=self.scopes,
            assurance=self.assurance,
            clock=self.clock,
        )

    def _build_flows(self, login_hooks: LoginHooks) -> None:
        self.one_time_tokens = OneTimeTokens(self.database, clock=self.clock)
        self.challenges = Challenges(
            tokens=self.one_time_tokens,
            mfa=self.mfa,
            users=self.users,
            lifetime=self.settings.mfa_token_lifetime,
        )
        self.login = LoginService(
            database=self.database,
            users=self.users,
            gate=self.gate,
            sessions=self.sessions,
            mfa=self.mfa,
            challenges=self.challenges,
            guard=self.code_guard,
            trust=Trust(
                TrustedDevices(self.database, clock=self.clock),
                mfa=self.mfa,
                assurance=self.assurance,
                lifetime=self.settings.trusted_device_lifetime,
                clock=self.clock,
            ),
            assurance=self.assurance,
            login_hooks=login_hooks,
            lacks_address=self._lacks_address,
            events=self.events,
            clock=self.clock,
        )
        self.handout = Handout(
            transport=self.transport,
            tokens=self.tokens,
            scopes=self.scopes,
            assurance=self.assurance,
            clock=self.clock,
        )

    async def _is_live(self, session_id: UUID) -> bool:
        return await self.sessions.find.by_id(session_id, now=self.clock()) is not None

    async def _lacks_address(self, user_id: object) -> bool:
        """Say whether a person must prove their address before they log in."""
        if self.settings.email_verification == "off":
            return False
        return not await self.book.is_verified(user_id)

    async def open(self) -> None:
        """Open what is fast when kept open."""
        await self.database.open()
        if is_traced():
            for owner, method, name in (
                (self.login, "log_in", "auth.login"),
                (self.login, "log_in_by_link", "auth.login"),
                (self.login, "complete", "auth.login.second_factor"),
                (self.sessions, "refresh", "auth.refresh"),
                (self.users, "off_the_loop", "auth.hash"),
                (self.sessions.find, "by_cookie", "auth.session"),
                (self.sessions.find, "by_id", "auth.session"),
                (self.api_keys, "authenticate", "auth.api_key"),
            ):
                put_span(owner, method, name=name)

    async def close(self) -> None:
        """Close what `open` opened, and what opened itself on first use."""
        await self.outbox.close()  # first: work before a mail may need the rest
        await self.database.close()
        self.pool.close()
        await self.limiter.aclose()
        for asked in (self.breach_check, self.captcha):
            if asked is not None:
                await asked.aclose()
