"""The prebuilt routers: one a slice, each with the configured prefix."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import APIRouter

from piccolo_fastapi_auth.accounts.claims import Claims
from piccolo_fastapi_auth.accounts.confirm_page import ConfirmPage
from piccolo_fastapi_auth.accounts.mail_router import MailRoutes
from piccolo_fastapi_auth.accounts.registration_router import RegistrationRoutes
from piccolo_fastapi_auth.accounts.router import AccountRoutes
from piccolo_fastapi_auth.accounts.schemas import ProfileUpdate
from piccolo_fastapi_auth.admin.event_routes import EventRoutes
from piccolo_fastapi_auth.admin.router import AdminRoutes
from piccolo_fastapi_auth.api_keys.router import ApiKeyRoutes
from piccolo_fastapi_auth.login.oauth import OAuthRoute
from piccolo_fastapi_auth.login.router import LoginRoutes
from piccolo_fastapi_auth.mfa.router import MfaRoutes
from piccolo_fastapi_auth.mfa.sending_router import SendingRoutes
from piccolo_fastapi_auth.oauth.router import OAuthServerRoutes
from piccolo_fastapi_auth.parts import Parts
from piccolo_fastapi_auth.routing import Guards, QuickRouter, new_router
from piccolo_fastapi_auth.sessions.router import SessionRoutes
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

WELL_KNOWN = "/.well-known/"


@dataclass(frozen=True, slots=True)
class Routers:
    """The prebuilt routers, one a slice, each with the configured prefix."""

    login: APIRouter
    sessions: APIRouter
    mfa: APIRouter
    accounts: APIRouter
    keys: APIRouter
    api_keys: APIRouter
    admin: APIRouter


def build_routers(
    parts: Parts[UserT],
    guards: Guards,
    *,
    new: Callable[[], APIRouter],
    new_well_known: Callable[[], APIRouter],
    operations: str,
    profile_schema: type[ProfileUpdate],
) -> Routers:
    """Make the routers of every slice over the services of one ``Auth``."""
    routers = Routers(new(), new(), new(), new(), new_well_known(), new(), new())
    login = LoginRoutes(
        transport=parts.transport, login=parts.login, prover=parts.prover, sessions=parts.sessions,
        scopes=parts.scopes, authenticator=parts.authenticator, handout=parts.handout, guards=guards,
    )  # fmt: skip
    login.add_to(routers.login)
    token_router = new_router(OAuthRoute, operations=operations)
    login.add_token_to(token_router)
    routers.login.include_router(token_router)
    SessionRoutes(
        settings=parts.settings, transport=parts.transport, sessions=parts.sessions, tokens=parts.tokens,
        authenticator=parts.authenticator, handout=parts.handout, guards=guards,
        revoke_key=parts.api_keys.revoke_presented,
    ).add_to(routers.sessions, keys=routers.keys)  # fmt: skip
    MfaRoutes(
        settings=parts.settings, mfa=parts.mfa, flows=parts.mfa_flows, authenticator=parts.authenticator,
        assurance=parts.assurance, guards=guards,
    ).add_to(routers.mfa)  # fmt: skip
    SendingRoutes(
        sent=parts.sent_codes, challenges=parts.challenges, authenticator=parts.authenticator, guards=guards,
    ).add_to(routers.mfa)  # fmt: skip
    _add_accounts(parts, guards, routers.accounts, profile_schema)
    OAuthServerRoutes(
        settings=parts.settings, introspector=parts.introspector, scopes=parts.scopes.declared, guards=guards
    ).add_to(routers.sessions, well_known=routers.keys)  # fmt: skip
    ApiKeyRoutes(api_keys=parts.api_keys, authenticator=parts.authenticator, guards=guards).add_to(
        routers.api_keys
    )
    EventRoutes(
        events=parts.events, tokens=parts.tokens, authenticator=parts.authenticator, guards=guards,
    ).add_to(routers.admin)  # fmt: skip
    AdminRoutes(
        admin=parts.admin, users=parts.users, sessions=parts.sessions, mfa=parts.mfa, roles=parts.roles,
        scopes=parts.scopes, tokens=parts.tokens, transport=parts.transport,
        authenticator=parts.authenticator, handout=parts.handout, guards=guards,
    ).add_to(routers.admin)  # fmt: skip
    return routers


def _add_accounts(
    parts: Parts[UserT], guards: Guards, router: APIRouter, profile_schema: type[ProfileUpdate]
) -> None:
    claims = Claims(transport=parts.transport, authenticator=parts.authenticator)
    magic_links = parts.magic_links if parts.settings.magic_links else None
    RegistrationRoutes(
        settings=parts.settings, transport=parts.transport, accounts=parts.accounts, users=parts.users,
        scopes=parts.scopes, registration=parts.registration, invitations=parts.invitations, authenticator=parts.authenticator,
        guards=guards,
    ).add_to(router)  # fmt: skip
    AccountRoutes(
        transport=parts.transport, accounts=parts.accounts, users=parts.users, authenticator=parts.authenticator,
        handout=parts.handout, export=parts.data_export, guards=guards, profile_schema=profile_schema,
    ).add_to(router)  # fmt: skip
    MailRoutes(
        transport=parts.transport, verification=parts.verification, recovery=parts.recovery,
        magic_links=magic_links, claims=claims, authenticator=parts.authenticator, handout=parts.handout,
        guards=guards,
    ).add_to(router)  # fmt: skip
    ConfirmPage(
        transport=parts.transport, verification=parts.verification, recovery=parts.recovery,
        invitations=parts.invitations, magic_links=magic_links, login=parts.login, claims=claims,
        handout=parts.handout,
    ).add_to(router)  # fmt: skip


def together(routers: Routers, *, prefix: str) -> APIRouter:
    """Return one router that has all of them."""
    router = QuickRouter(marks=[f"{prefix}/", WELL_KNOWN])
    for field in dataclasses.fields(routers):
        router.include_router(getattr(routers, field.name))
    return router
