"""Proving again to be the person who is logged in: by password, or by the second factor where there is one."""

from typing import Generic, TypeVar
from uuid import UUID

from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.errors import InvalidCredentialsError, MfaRequiredError
from piccolo_fastapi_auth.mfa.flows import MfaFlows
from piccolo_fastapi_auth.mfa.method import Proof
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.password_gate import PasswordGate
from piccolo_fastapi_auth.users.service import Candidate, UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


def session_flow(session_id: UUID) -> str:
    """Name the flow of a renewed proof within a session."""
    return f"session {session_id}"


class Prover(Generic[UserT]):
    """Checks proofs of one ``Auth``."""

    def __init__(
        self,
        *,
        users: UserService[UserT],
        gate: PasswordGate[UserT],
        mfa: MfaService,
        flows: MfaFlows[UserT],
    ) -> None:
        self._users = users
        self._gate = gate
        self._mfa = mfa
        self._flows = flows

    async def prove(
        self, user_id: object, proof: Proof, caller: Caller, *, session_id: UUID | None = None
    ) -> tuple[Candidate, str]:
        """Check a proof; return whose it is and the method that it used.

        ``session_id`` is that of the request: a code that was sent is good only in the session that asked for it.

        Raises:
            MfaRequiredError: Less than the person's strongest factor; ``methods`` says which would do (SUD-1).
            InvalidCredentialsError: The password is wrong.
            InvalidCodeError: The code is wrong, or was used.
            RateLimitedError: Too many attempts.
        """
        if proof.password is not None:
            candidate = await self._gate.prove(user_id, proof.password, caller)
            if await self._mfa.is_enrolled(user_id):
                raise MfaRequiredError(extra={"methods": await self._mfa.strongest(user_id)})
            return candidate, "password"
        if not self._mfa.has_credit(proof.method) and await self._mfa.has_credited(user_id):
            raise MfaRequiredError(extra={"methods": await self._mfa.strongest(user_id)})
        flow = "" if session_id is None else session_flow(session_id)
        await self._flows.prove(
            user_id, method=proof.method, code=proof.code, caller=caller, flow=flow
        )
        found = await self._users.by_id(user_id)
        if found is None or not found.active:
            raise InvalidCredentialsError
        return found, proof.method
