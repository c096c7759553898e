"""All services of one ``Auth``: those behind a log-in, and on top of them accounts, administration and operators."""

from typing import TypeVar

from piccolo_fastapi_auth.accounts.credentials import Credentials
from piccolo_fastapi_auth.accounts.export import DataExport
from piccolo_fastapi_auth.accounts.invitations import InvitationService
from piccolo_fastapi_auth.accounts.links import RESET, AccountLinks
from piccolo_fastapi_auth.accounts.magic_links import MagicLinks
from piccolo_fastapi_auth.accounts.mail_gate import MailGate
from piccolo_fastapi_auth.accounts.operators import Operators
from piccolo_fastapi_auth.accounts.ownership import Ownership
from piccolo_fastapi_auth.accounts.recovery import PasswordRecovery
from piccolo_fastapi_auth.accounts.registration import Registration
from piccolo_fastapi_auth.accounts.service import AccountService
from piccolo_fastapi_auth.accounts.signup_proof import SignupProof
from piccolo_fastapi_auth.accounts.verification import VerificationService
from piccolo_fastapi_auth.admin.service import AdminService
from piccolo_fastapi_auth.api_keys.moved import MovedKeys
from piccolo_fastapi_auth.core_parts import Chosen, CoreParts
from piccolo_fastapi_auth.mfa.moved import MovedFactors
from piccolo_fastapi_auth.moving.service import PiccoloApiImport
from piccolo_fastapi_auth.rate_limits.login_guard import LoginGuard
from piccolo_fastapi_auth.sessions.moved import MovedSessions
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Parts(CoreParts[UserT]):
    """The services of one ``Auth``."""

    def __init__(self, chosen: Chosen[UserT]) -> None:
        super().__init__(chosen)
        self._build_accounts()
        self._build_account_flows()
        self._build_administration()

    def _build_accounts(self) -> None:
        settings = self.settings
        self.account_links = AccountLinks(
            settings, database=self.database, tokens=self.one_time_tokens, users=self.users, book=self.book,
            links=self.links, outbox=self.outbox,
        )  # fmt: skip
        # Whoever adds a kind of credential adds its end here.
        self.credentials = Credentials(
            self.sessions.end_all,
            self.mfa.remove_all,
            self.one_time_tokens.end_all,
            self.api_keys.end_all,
        )
        self.signup_proof = SignupProof(self._keys_for("signed up here"))
        self.ownership = Ownership(
            users=self.users, book=self.book, credentials=self.credentials, gate=self.gate,
            signup_proof=self.signup_proof,
        )  # fmt: skip
        self.mail_gate = MailGate(
            outbox=self.outbox,
            limit=self.mail_limit,
            callers=LoginGuard(
                self.limiter.service, self._keys_for("mail limit"), per_address=settings.login_limit_per_ip, per_account="",
                clock=self.clock, namespace="MAIL",
            ),
        )  # fmt: skip
        self.accounts = AccountService(
            settings, database=self.database, users=self.users, sessions=self.sessions, prover=self.prover,
            gate=self.gate, links=self.account_links, outbox=self.outbox, events=self.events,
            end_keys=self.api_keys.end_all, breaches=self.breach_check,
        )  # fmt: skip

    def _build_account_flows(self) -> None:
        self.verification = VerificationService(
            database=self.database, book=self.book, links=self.account_links, gate=self.mail_gate,
            ownership=self.ownership, sessions=self.sessions, outbox=self.outbox, events=self.events,
        )  # fmt: skip
        self.registration = Registration(
            database=self.database, users=self.users, accounts=self.accounts, verification=self.verification,
            signup_proof=self.signup_proof, events=self.events,
        )  # fmt: skip
        self.recovery = PasswordRecovery(
            database=self.database, users=self.users, book=self.book, links=self.account_links,
            gate=self.mail_gate, ownership=self.ownership, accounts=self.accounts, sessions=self.sessions,
            outbox=self.outbox, events=self.events, end_keys=self.api_keys.end_all,
        )  # fmt: skip
        self.invitations = InvitationService(
            database=self.database, users=self.users, book=self.book, links=self.account_links,
            accounts=self.accounts, outbox=self.outbox, events=self.events,
        )  # fmt: skip
        self.magic_links = MagicLinks(
            book=self.book, links=self.account_links, gate=self.mail_gate, ownership=self.ownership,
            login=self.login,
        )  # fmt: skip
        self.data_export = DataExport[UserT](
            {
                "sessions": self.sessions.of_user,
                "second_factors": self.mfa.of_user,
                "api_keys": self.api_keys.of_user,
            },
            clock=self.clock,
        )

    def _build_administration(self) -> None:
        self.admin = AdminService(
            database=self.database,
            users=self.users,
            sessions=self.sessions,
            flows=self.mfa_flows,
            roles=self.roles,
            scopes=self.scopes,
            tokens=self.one_time_tokens,
            events=self.events,
            start_reset=self.recovery.start if self.links.can_make(RESET) else None,
            clock=self.clock,
        )
        self.operators = Operators(
            database=self.database,
            users=self.users,
            accounts=self.accounts,
            sessions=self.sessions,
            tokens=self.one_time_tokens,
            events=self.events,
            end_keys=self.api_keys.end_all,
        )
        self.moving = PiccoloApiImport(
            self.database,
            self.user_table,
            sessions=MovedSessions(self.database, self.settings, clock=self.clock),
            keys=MovedKeys(self.database, self.settings, clock=self.clock),
            factors=MovedFactors(self.database, self.states),
            hold_unchanged=self.users.hold_unchanged,
            clock=self.clock,
        )
