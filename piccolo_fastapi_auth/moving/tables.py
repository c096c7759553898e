"""What was moved here from other tables, so that it is moved once."""

from piccolo.columns import Timestamptz, Varchar
from piccolo.table import Table


class AuthImport(Table, tablename="auth_import"):
    """A row of another table that was moved. What ended here since then does not come back with the next import."""

    id = Varchar(length=255, primary_key=True, default="", help_text="Table and key: sessions:12.")
    imported_at = Timestamptz()
