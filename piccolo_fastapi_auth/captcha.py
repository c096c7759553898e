"""CAPTCHA: a hook before routes that strangers can call, and validators for the usual services.

Closed unless the service says clearly yes: a refusal is 403, no clear answer 503, never a pass.
"""

import json
import logging
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated, Protocol

from fastapi import Header, Request
from pydantic import SecretStr

from piccolo_fastapi_auth.errors import AuthError, TemporarilyUnavailableError
from piccolo_fastapi_auth.primitives.bounded_http import BoundedHttp
from piccolo_fastapi_auth.transport import Transport

logger = logging.getLogger(__name__)

LONGEST_TOKEN = 8192
MOST_BYTES = 64 * 1024


class CaptchaFailedError(AuthError):
    """The CAPTCHA is missing, wrong, too old, or was used."""

    code = "captcha_failed"
    status = 403
    message = "Solve the CAPTCHA and try again."


class Captcha(Protocol):
    """Decides whether a token comes from a person who solved a CAPTCHA."""

    async def verify(self, token: str, *, ip: str | None) -> bool:
        """Return ``True`` for a clear yes. Everything else, and every exception, refuses."""
        ...

    async def aclose(self) -> None:
        """Close what is open; the lifespan calls it."""
        ...


class _SiteVerify:
    """The protocol that the three services share: a form with the secret and the token, JSON with ``success``.

    Args:
        secret: The secret key of the site.
        hostnames: Where the CAPTCHA may have been solved; anywhere when empty.
        url: Of the service.
        within: How long the question may take.
    """

    URL: str

    def __init__(
        self,
        secret: str | SecretStr,
        *,
        hostnames: Collection[str] = (),
        url: str | None = None,
        within: timedelta = timedelta(seconds=5),
    ) -> None:
        self._secret = SecretStr(secret) if isinstance(secret, str) else secret
        self._hostnames = frozenset(hostnames)
        self._url = url or self.URL
        self._http = BoundedHttp(within=within, most_bytes=MOST_BYTES)

    async def verify(self, token: str, *, ip: str | None) -> bool:
        """Ask the service.

        Raises:
            OutsideError: It gave no usable answer.
            ValueError: Its answer is no JSON.
        """
        form = {"secret": self._secret.get_secret_value(), "response": token}
        answer = json.loads(
            await self._http.post(self._url, form | ({"remoteip": ip} if ip else {}))
        )
        return isinstance(answer, dict) and self._is_yes(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _is_yes(self, answer: Mapping[str, object]) -> bool:
        here = not self._hostnames or answer.get("hostname") in self._hostnames
        return answer.get("success") is True and here


class HCaptcha(_SiteVerify):
    """hCaptcha."""

    URL = "https://api.hcaptcha.com/siteverify"


class Turnstile(_SiteVerify):
    """Cloudflare Turnstile."""

    URL = "https://challenges.cloudflare.com/turnstile/v0/siteverify"


class ReCaptcha(_SiteVerify):
    """Google reCAPTCHA; with ``least_score`` version 3.

    Args:
        secret: The secret key of the site.
        least_score: From 0 to 1; an answer without a score is then refused.
        hostnames: Where the CAPTCHA may have been solved; anywhere when empty.
        url: Of the service.
        within: How long the question may take.
    """

    URL = "https://www.google.com/recaptcha/api/siteverify"

    def __init__(
        self,
        secret: str | SecretStr,
        *,
        least_score: float | None = None,
        hostnames: Collection[str] = (),
        url: str | None = None,
        within: timedelta = timedelta(seconds=5),
    ) -> None:
        super().__init__(secret, hostnames=hostnames, url=url, within=within)
        self._least_score = least_score

    def _is_yes(self, answer: Mapping[str, object]) -> bool:
        if self._least_score is not None:
            score = answer.get("score")
            if (
                isinstance(score, bool)
                or not isinstance(score, int | float)
                or not self._least_score <= score <= 1
            ):
                return False
        return super()._is_yes(answer)


class CaptchaGuard:
    """A dependency in front of a route: lets nobody by without a solved CAPTCHA."""

    def __init__(self, captcha: Captcha, transport: Transport) -> None:
        self._captcha = captcha
        self._transport = transport

    async def __call__(
        self,
        request: Request,
        x_captcha_token: Annotated[
            str | None, Header(description="What the CAPTCHA's widget gave the page.")
        ] = None,
    ) -> None:
        """Check the token of the request.

        Raises:
            CaptchaFailedError: There is none, or it is not good.
            TemporarilyUnavailableError: The service gave no clear answer.
        """
        if not x_captcha_token or len(x_captcha_token) > LONGEST_TOKEN:
            raise CaptchaFailedError
        try:
            passed = await self._captcha.verify(
                x_captcha_token, ip=self._transport.caller(request).ip
            )
        except Exception as error:  # noqa: BLE001 - a validator may be anybody's
            logger.warning("The CAPTCHA service gave no clear answer: %s", type(error).__name__)
            raise TemporarilyUnavailableError from None
        if passed is not True:
            raise CaptchaFailedError


class PasswordGrantCaptchaGuard(CaptchaGuard):
    """The same for ``/auth/token``: a refresh needs no CAPTCHA, a password does."""

    async def __call__(
        self,
        request: Request,
        x_captcha_token: Annotated[
            str | None,
            Header(description="What the CAPTCHA's widget gave the page; for passwords."),
        ] = None,
    ) -> None:
        """Check the token of the request, unless it brings a refresh token instead of a password."""
        form = await request.form()  # FastAPI has read it; it is kept on the request
        if form.getlist("grant_type") != ["refresh_token"]:
            await super().__call__(request, x_captcha_token)
