"""Piccolo Admin beside this library: our tables in it without a secret, our second factors, and one end for its sessions.

Needs Piccolo Admin: ``pip install "piccolo-fastapi-auth[admin]"``. Its sessions stay its own.
"""

import re
from typing import Final, Generic, TypeVar, cast

from piccolo.apps.user.tables import BaseUser
from piccolo.table import Table
from starlette.exceptions import HTTPException
from starlette.requests import Request

try:
    from piccolo_admin.endpoints import TableConfig
    from piccolo_api.crud.endpoints import PiccoloCRUD
    from piccolo_api.crud.validators import Validators
    from piccolo_api.mfa.provider import MFAProvider
    from piccolo_api.session_auth.tables import SessionsBase
except ModuleNotFoundError as error:
    raise ImportError(
        "Piccolo Admin is missing: pip install 'piccolo-fastapi-auth[admin]'"
    ) from error

from piccolo_fastapi_auth.audit.event import Action, Event
from piccolo_fastapi_auth.auth import Auth
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.errors import AuthError
from piccolo_fastapi_auth.mfa.methods import recovery_codes
from piccolo_fastapi_auth.primitives.client_address import UNKNOWN
from piccolo_fastapi_auth.tables import TABLES
from piccolo_fastapi_auth.users.user import AuthUser
from piccolo_fastapi_auth.users.user_table import user_table

UserT = TypeVar("UserT", bound=AuthUser)

__all__ = ["AdminMfa", "admin_tables", "end_admin_sessions"]

ENDING: Final[tuple[Action, ...]] = (
    "password.changed", "password.reset", "user.deactivated", "user.deleted", "mfa.enrolled", "mfa.removed",
    "email.changed", "session.ended",
)  # fmt: skip
"""What ends every session of a person; the last two not always."""

_NAME: Final = re.compile(r"\w+")
_TOTP: Final = re.compile(r"[\d -]+", re.ASCII)


def admin_tables(*, menu_group: str = "Signing in") -> list[TableConfig]:
    """Return our tables for ``create_admin(tables=[...])``: for superusers, to be read, without secret columns.

    A row says nothing that could be presented, and no filter or order can ask about what it leaves out.
    """
    return [_configured(table, menu_group) for table in TABLES]


def _configured(table: type[Table], menu_group: str) -> TableConfig:
    secret = list(table._meta.secret_columns)
    return TableConfig(
        table,
        exclude_visible_columns=secret or None,
        exclude_visible_filters=secret or None,
        menu_group=menu_group,
        validators=Validators(every=[_only_look]),
    )


def _only_look(piccolo_crud: PiccoloCRUD, request: Request) -> None:
    """Let superusers read. Rows are changed through the library, which knows what else must change."""
    del piccolo_crud
    if not request.user.user.superuser:
        raise HTTPException(403, "Only superusers may look at this.")
    if request.method not in {"GET", "HEAD"}:
        raise HTTPException(405, "This table is changed by the application only.")
    # A filter on a secret column would answer whether a guess is right, letter by letter.
    asked = " ".join(text for pair in request.query_params.multi_items() for text in pair)
    if set(_NAME.findall(asked.replace("__", " "))) & _secret_names():
        raise HTTPException(403, "This column cannot be asked about.")


def _secret_names() -> set[str]:
    return {
        column._meta.name
        for table in (user_table(), *TABLES)
        for column in table._meta.secret_columns
    }


def end_admin_sessions(auth: Auth[UserT], session_table: type[SessionsBase] = SessionsBase) -> None:
    """End Piccolo Admin's sessions of a person whenever all of ours end, or all but the one that asks for it.

    That is: a new password, another second factor, a deactivation, an address taken back, "sign out everywhere".
    It is done after the commit; should the database fail just then, the log says so. Commands of the command line
    do not know of it.
    """

    async def end(event: Event) -> None:
        if event.user is not None and _ends_all(event):
            await session_table.delete().where(session_table.user_id == cast("int", event.user))

    for action in ENDING:
        auth.on(action, end)


def _ends_all(event: Event) -> bool:
    if event.action == "email.changed":
        return "undone" in event.detail
    return event.action != "session.ended" or "sessions_ended" in event.detail


class AdminMfa(MFAProvider, Generic[UserT]):
    """Asks for our second factors at Piccolo Admin's log-in: ``create_admin(mfa_providers=[AdminMfa(auth)])``.

    Without it a password alone opens Piccolo Admin to a person who has a second factor here.
    """

    def __init__(self, auth: Auth[UserT]) -> None:
        super().__init__(name="Second factor")
        self._auth = auth

    async def authenticate_user(self, user: BaseUser, code: str) -> bool:
        """Say whether a code of an authenticator app or a recovery code is right, and use it up. Guesses are counted."""
        method = "totp" if _TOTP.fullmatch(str(code)) else recovery_codes.NAME
        caller = Caller(
            connection=None, ip=None, user_agent=None, cookie_digest=None, address=UNKNOWN
        )
        try:
            await self._auth.mfa_flows.prove(
                _key_of(user), method=method, code=str(code), caller=caller
            )
        except AuthError:
            return False
        return True

    async def is_user_enrolled(self, user: BaseUser) -> bool:
        """Say whether a person has a second factor here, or must have one: then nobody enters before it is set up."""
        must = self._auth.settings.require_mfa != "nobody"  # for only admins get this far
        return must or await self._auth.mfa.is_enrolled(_key_of(user))

    async def send_code(self, user: BaseUser) -> bool:
        """Send nothing: the codes are on the person's phone."""
        del user
        return False

    async def get_registration_html(self, user: BaseUser) -> str:
        """Refuse: a second factor is set up in the application."""
        del user
        raise _elsewhere()

    async def get_registration_json(self, user: BaseUser) -> dict[str, object]:
        """Refuse, as above."""
        del user
        raise _elsewhere()

    async def delete_registration(self, user: BaseUser) -> None:
        """Refuse: a password alone must not remove a second factor."""
        del user
        raise _elsewhere()


def _elsewhere() -> HTTPException:
    return HTTPException(405, "Second factors are set up and removed in the application.")


def _key_of(user: BaseUser) -> object:
    return cast("object", getattr(user, user._meta.primary_key._meta.name))
