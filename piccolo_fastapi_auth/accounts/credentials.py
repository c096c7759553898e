"""The end of everything that opens an account. Whoever adds a kind of credential hangs its end on here."""

from collections.abc import Awaitable, Callable

EndOfAll = Callable[[object], Awaitable[object]]


class Credentials:
    """All that a person can present, seen from the one place where all of it must end.

    Args:
        ends: For each kind of credential, what ends all of one person's.
    """

    def __init__(self, *ends: EndOfAll) -> None:
        self._ends = ends

    async def end_all_credentials(self, user_id: object) -> None:
        """End a person's sessions, factors, tokens and keys. Call it inside a transaction, with the person's row held."""
        for end in self._ends:
            await end(user_id)
