"""Paths that have a code sent: for a log-in that was begun, and for a renewed proof. There only if a method sends codes."""

from datetime import timedelta
from typing import Generic, TypeVar

from fastapi import APIRouter, Depends, Request

from piccolo_fastapi_auth.mfa.challenge import Challenges
from piccolo_fastapi_auth.mfa.proof import session_flow
from piccolo_fastapi_auth.mfa.schemas import ChallengeBody, CodeSent, SendBody
from piccolo_fastapi_auth.mfa.sending import SentCodes
from piccolo_fastapi_auth.routing import Guards
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class SendingRoutes(Generic[UserT]):
    """The routes beside those of the mfa slice that have codes sent."""

    def __init__(
        self,
        *,
        sent: SentCodes,
        challenges: Challenges[UserT],
        authenticator: Authenticator[UserT],
        guards: Guards,
    ) -> None:
        self._sent = sent
        self._challenges = challenges
        self._authenticator = authenticator
        self._guards = guards

    def add_to(self, router: APIRouter) -> None:
        """Add the routes, if there is anything to send."""
        if not self._sent.offered:
            return
        router.add_api_route(
            "/mfa/challenge",
            self.send_for_log_in,
            methods=["POST"],
            status_code=202,
            response_model=CodeSent,
        )
        router.add_api_route(
            "/reauthenticate/challenge", self.send_for_reauthentication, methods=["POST"], status_code=202,
            response_model=CodeSent, dependencies=[Depends(self._guards.signed_in)],
        )  # fmt: skip

    async def send_for_log_in(self, request: Request, body: ChallengeBody) -> CodeSent:
        """Send a code for the log-in that was begun. It is good for this challenge only; asking uses up no try."""
        transport = self._authenticator.transport
        transport.check_origin(request)
        challenge = await self._challenges.look(body.mfa_token, transport.caller(request))
        return _sent(
            await self._sent.send(
                challenge.candidate.user_id, method=body.method, flow=challenge.flow
            )
        )

    async def send_for_reauthentication(self, request: Request, body: SendBody) -> CodeSent:
        """Send a code with which to prove again to be the same person. It is good in this session only."""
        session = (await self._authenticator.required(request)).session
        flow = session_flow(session.id)
        return _sent(await self._sent.send(session.user_id, method=body.method, flow=flow))


def _sent(lifetime: timedelta) -> CodeSent:
    return CodeSent(expires_in=int(lifetime.total_seconds()))
