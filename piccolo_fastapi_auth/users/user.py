"""``AuthUser``: Piccolo's user table with its columns untouched and its hashing and log-in replaced."""

import asyncio
import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Self, cast
from uuid import UUID

from piccolo.apps.user.tables import BaseUser
from piccolo.columns import Column
from piccolo.query.methods import Insert, Update
from piccolo.query.methods.refresh import Refresh
from piccolo.table import Table

from piccolo_fastapi_auth.primitives.clock import utc_now
from piccolo_fastapi_auth.primitives.passwords import MAX_PASSWORD_LENGTH, PasswordHasher


@functools.cache
def _hasher() -> PasswordHasher:
    """Return the hasher for objects and scripts; requests use the bounded pool of ``Auth``."""
    return PasswordHasher()


class AuthUser(BaseUser, tablename="piccolo_user"):
    """The base of every user table: subclass it to add columns or another primary key.

    Piccolo's columns stay as they are, so existing rows and Piccolo Admin go on working. Passwords are
    hashed with Argon2id; a password given to the constructor or assigned is hashed, a stored hash is kept.
    """

    _min_password_length = 8
    _max_password_length = MAX_PASSWORD_LENGTH

    _is_loading = False
    # The scopes by roles as the look-up of a request found them; nothing for a person from elsewhere.
    _role_scopes: tuple[str, ...] | None = None

    def __init__(self, **values: object) -> None:
        # What the database holds stays as it is: hashing it would make a password of an unusable "!".
        with self._loading(when=bool(values.get("_exists_in_db"))):
            # BaseUser's own constructor is stepped over: it hashes again whatever is not PBKDF2.
            super(BaseUser, self).__init__(**values)  # type: ignore[arg-type] # Table takes _data before the columns

    def __setattr__(self, name: str, value: object) -> None:
        if name == "password" and isinstance(value, str) and value and not self._is_loading:
            value = _hashed(value)
        super(BaseUser, self).__setattr__(name, value)

    @classmethod
    def from_row(cls, values: Mapping[str, object]) -> Self:
        """Return the object of a stored row whose password was not read; ``values`` holds every other column.

        Piccolo's constructor looks at each column one by one and takes 20 microseconds, this takes one. A table
        that has a constructor or a ``__setattr__`` of its own gets them called.
        """
        if cls.__init__ is not AuthUser.__init__ or cls.__setattr__ is not AuthUser.__setattr__:
            return cls(_exists_in_db=True, **values)
        user = cls.__new__(cls)
        user.__dict__.update(values, password="", _exists_in_db=True, _was_created=None)
        return user

    @property
    def is_authenticated(self) -> bool:
        """Yes: Starlette asks it of ``request.user``, as of one that is nobody."""
        return True

    @property
    def display_name(self) -> str:
        """The username, by the name that Starlette gives it."""
        return self.username

    @property
    def identity(self) -> str:
        """The primary key as text, by the name that Starlette gives it."""
        return str(getattr(self, self._meta.primary_key._meta.name))

    def __str__(self) -> str:
        return repr(self)  # Piccolo's own shows every value, the hash too

    @contextlib.contextmanager
    def _loading(self, *, when: bool = True) -> Iterator[None]:
        """Take values as they are stored until the block ends."""
        self._is_loading = when
        try:
            yield
        finally:
            self._is_loading = False

    def refresh(self, columns: Sequence[Column] | None = None, load_json: bool = False) -> Refresh:  # noqa: FBT001, FBT002 - Piccolo's signature
        """Fetch this row anew; a stored hash is kept as it is."""
        return _RefreshUser(instance=self, columns=columns, load_json=load_json)

    @classmethod
    async def update_password(cls, user: str | int | UUID, password: str) -> None:
        """Set the password of a person, named by username or by primary key of any type.

        Raises:
            ValueError: The password is too short, too long or a hash.
        """
        is_username = isinstance(user, str) and cls._meta.primary_key.value_type is not str
        cls._validate_password(password=password)
        named = cls.username == user if is_username else cls._meta.primary_key == user
        password_hash = await asyncio.to_thread(cls.hash_password, password)
        await cls.update({cls.password: password_hash}).where(named)

    @classmethod
    def _validate_password(cls, password: str) -> None:
        if not cls._min_password_length <= len(password) <= cls._max_password_length:
            raise ValueError(
                f"A password has {cls._min_password_length} to {cls._max_password_length} characters."
            )
        if PasswordHasher.is_hash(password):
            raise ValueError("Do not pass a hashed password.")

    @classmethod
    def hash_password(cls, password: str, salt: str = "", iterations: int | None = None) -> str:
        """Return an Argon2id hash; with a ``salt`` Piccolo's PBKDF2, as its own callers expect.

        Raises:
            ValueError: The password is longer than 1024 characters.
        """
        if len(password) > MAX_PASSWORD_LENGTH:
            raise ValueError("The password is too long.")
        if salt:
            return super().hash_password(password, salt, iterations)
        return _hasher().hash(password)

    @classmethod
    async def login(cls, username: str, password: str) -> int | None:
        """Check a password for code that knows only Piccolo, such as Piccolo Admin.

        Returns:
            The primary key, or ``None``: unknown, wrong or inactive, at the same cost.
        """
        if len(password) > MAX_PASSWORD_LENGTH:
            return None
        key = cls._meta.primary_key
        row = (
            await cls.select(key, cls.password, cls.active).where(cls.username == username).first()
        )
        stored = row["password"] if row else None
        verdict = await asyncio.to_thread(
            _hasher().check,
            password,
            stored,
            may_log_in=bool(row and row["active"]),
            legacy_in_use=True,
        )
        if not (row and row["active"] and verdict.matches):
            return None
        changes: dict[Column | str, object] = {
            cls.last_login: utc_now().astimezone(UTC).replace(tzinfo=None)
        }
        if verdict.replacement:
            changes[cls.password] = verdict.replacement
        await cls.update(changes).where(key == row[key._meta.name], cls.password == stored)
        return cast("int", row[key._meta.name])

    def save(self, columns: Sequence[Column | str] | None = None) -> Insert[Table] | Update[Table]:
        """Insert or update; a password that was not loaded (as in ``current_user``) is left alone."""
        if columns is None and self._exists_in_db and not self.password:
            meta = self._meta
            columns = [
                c for c in meta.columns if c is not meta.primary_key and c._meta.name != "password"
            ]
        return super().save(columns)


class _RefreshUser(Refresh):
    """A refresh that takes what is stored for what it is."""

    async def run(self, in_pool: bool = True, node: str | None = None) -> Table:  # noqa: FBT001, FBT002 - Piccolo's signature
        user = cast("AuthUser", self.instance)
        with user._loading():  # noqa: SLF001 - its own class
            return await super().run(in_pool=in_pool, node=node)


class User(AuthUser, tablename="piccolo_user"):
    """The shipped user table: Piccolo's ``piccolo_user``, made by Piccolo's own migrations."""


def _hashed(password: str) -> str:
    return password if PasswordHasher.is_hash(password) else AuthUser.hash_password(password)
