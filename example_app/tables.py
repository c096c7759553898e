"""People with one column more than the library's, and what they save."""

from piccolo.columns import ForeignKey, OnDelete, Serial, Text, Timestamptz, Varchar
from piccolo.table import Table

from piccolo_fastapi_auth import AuthUser


class User(AuthUser, tablename="reader"):
    """A reader."""

    display_name = Varchar(length=100, null=True, default=None)


class Link(Table):
    """Something worth reading."""

    id: Serial
    url = Text()
    title = Varchar(length=200)
    saved_by: ForeignKey[User] = ForeignKey(references=User, on_delete=OnDelete.cascade, null=False)
    saved_at = Timestamptz()


class Tag(Table):
    """A word that somebody put on a link."""

    id: Serial
    link: ForeignKey[Link] = ForeignKey(
        references=Link, on_delete=OnDelete.cascade, null=False, index=True
    )
    name = Varchar(length=50, index=True)
