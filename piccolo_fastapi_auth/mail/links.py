"""Links in mails: from the configured origin only, whatever a request's ``Host`` says (DESIGN rule 10)."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from piccolo_fastapi_auth.setting_types import bare_origin
from piccolo_fastapi_auth.settings import AuthSettings

TOKEN = "{token}"  # noqa: S105 - a placeholder


class LinkError(ValueError):
    """Links cannot be made: an origin is missing, or a template is no good."""


class Links:
    """Makes the links of mails.

    Args:
        settings: Of these ``public_origin`` and ``prefix``.
        link_urls: For a purpose the application's own page: a URL or a path with ``{token}`` in it, and
            ``{purpose}`` if it likes.

    Raises:
        LinkError: A template has no ``{token}``, is not https, or is a path and there is no ``public_origin``.
    """

    def __init__(self, settings: AuthSettings, link_urls: Mapping[str, str] | None = None) -> None:
        self.origin = settings.public_origin
        self._confirm = f"{settings.prefix}/confirm?purpose={{purpose}}&token={TOKEN}"
        self._templates = {
            purpose: self._checked(purpose, url) for purpose, url in (link_urls or {}).items()
        }

    def can_make(self, purpose: str) -> bool:
        """Say whether a link of this purpose can be made."""
        return purpose in self._templates or self.origin is not None

    def require(self, feature: str, *purposes: str) -> None:
        """Refuse to start a feature whose links cannot be made (HST-1). Call it where the feature is built.

        Raises:
            LinkError: There is neither a ``public_origin`` nor a template for one of the purposes.
        """
        if not all(map(self.can_make, purposes)):
            raise LinkError(
                f"{feature} mails links, which need the setting public_origin: "
                "set PICCOLO_AUTH_PUBLIC_ORIGIN=https://app.example.com"
            )

    def make(self, purpose: str, token: str) -> str:
        """Return the link that carries ``token``.

        Raises:
            LinkError: There is no ``public_origin``; `require` would have said so at the start.
        """
        self.require(f"purpose {purpose!r}", purpose)
        template = self._templates.get(purpose) or f"{self.origin}{self._confirm}"
        return template.replace("{purpose}", quote(purpose, safe="")).replace(
            TOKEN, quote(token, safe="")
        )

    def _checked(self, purpose: str, url: str) -> str:
        if TOKEN not in url:
            raise LinkError(f"link_urls[{purpose!r}] has no {TOKEN}")
        if url.startswith("/") and not url.startswith("//"):
            if self.origin is None:
                raise LinkError(f"link_urls[{purpose!r}] is a path, which needs public_origin")
            return f"{self.origin}{url}"
        parts = urlsplit(url)
        try:
            bare_origin(f"{parts.scheme}://{parts.netloc}")
        except ValueError as error:
            raise LinkError(f"link_urls[{purpose!r}]: {error}") from error
        return url
