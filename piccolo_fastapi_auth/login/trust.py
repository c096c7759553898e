"""Whether a log-in is spared the second factor, because it comes from a browser that its person trusts.

Off unless the setting ``trusted_device_lifetime`` is set. It raises nothing: the session says ``password`` only and is
as fresh as the log-in that showed the second factor, so a route that wants either asks for it.
"""

from datetime import timedelta
from typing import Generic, TypeVar
from uuid import UUID

from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.mfa.assurance import Assurance
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.trusted_devices import Trusted, TrustedDevices
from piccolo_fastapi_auth.users.service import Candidate
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Trust(Generic[UserT]):
    """Trusted browsers of one ``Auth``."""

    def __init__(
        self,
        devices: TrustedDevices,
        *,
        mfa: MfaService,
        assurance: Assurance[UserT],
        lifetime: timedelta,
        clock: Clock,
    ) -> None:
        self._devices = devices
        self._mfa = mfa
        self._assurance = assurance
        self._lifetime = lifetime
        self._clock = clock

    async def spares(self, candidate: Candidate, caller: Caller) -> bool:
        """Say whether this browser need not show the second factor now."""
        token = self._token(candidate, caller)
        return token is not None and await self._devices.knows(
            candidate.user_id, token, binding=await self._binding(candidate)
        )

    async def take_over(self, candidate: Candidate, caller: Caller) -> Trusted | None:
        """Use the browser's token up, inside the transaction of the log-in; return what it was good for."""
        token = self._token(candidate, caller)
        if token is None:
            return None
        binding = await self._binding(candidate)
        return await self._devices.take_over(candidate.user_id, token, binding=binding)

    async def grant(
        self, session_id: UUID, candidate: Candidate, *, trusted: Trusted | None = None
    ) -> str | None:
        """Trust the browser of a new session, from now or as long as before; return its cookie."""
        if not self._may_be_spared(candidate):
            return None
        now = self._clock()
        return await self._devices.grant(
            session_id,
            candidate.user_id,
            binding=await self._binding(candidate),
            trusted=trusted or Trusted(now, now + self._lifetime),
        )

    def _token(self, candidate: Candidate, caller: Caller) -> str | None:
        return caller.trust_cookie if self._may_be_spared(candidate) else None

    def _may_be_spared(self, candidate: Candidate) -> bool:
        """Who must use a second factor by policy must show it: the log-in would open nothing without."""
        return self._lifetime > timedelta(0) and not self._assurance.concerns(
            is_admin=candidate.admin
        )

    async def _binding(self, candidate: Candidate) -> str:
        """Name what ends the trust when it changes: the password, and each of the second factors."""
        factors = await self._mfa.fingerprint(candidate.user_id)
        return f"{candidate.password_hash}:{factors}"
