"""Make somebody who signed up an administrator: ``make admin NAME=mira``."""

import asyncio
import sys

from example_app.tables import User


async def make_admin(username: str) -> bool:
    """Give a person every right; say whether there is one of that name."""
    changed = (
        await User.update({User.admin: True, User.superuser: True})
        .where(User.username == username)
        .returning(User.id)
    )
    return bool(changed)


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if not asyncio.run(make_admin(name)):
        sys.exit(f"Nobody signed up as {name!r}: make admin NAME=<their name>")
    print(f"{name} is an administrator. Log in anew: tokens keep the scopes they were made with.")  # noqa: T201 - a command's answer
