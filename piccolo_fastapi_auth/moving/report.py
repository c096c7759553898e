"""What an import did, and what it did not and why. Plain values, nothing secret."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """What became of the rows of one table.

    Args:
        table: Its name.
        there: Whether there is such a table.
        moved: Rows that are ours now; in a dry run those that would be.
        already: Rows that were moved before.
        left: Why rows were not moved, and how many.
        notes: What else was counted.
    """

    table: str
    there: bool = True
    moved: int = 0
    already: int = 0
    left: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Say it in words, a line each."""
        if not self.there:
            return [f"{self.table}: there is no such table."]
        before = f", {self.already} were moved before" if self.already else ""
        return [
            f"{self.table}: {self.moved} moved{before}.",
            *(f"  {count} {note}." for note, count in sorted(self.notes.items())),
            *(f"  {count} not moved: {reason}." for reason, count in sorted(self.left.items())),
        ]
