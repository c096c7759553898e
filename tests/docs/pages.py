"""Reading README and the pages, and following what they say in an empty folder."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.servers import HOST, end, free_port, guarded, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
DOCS: Final = ROOT / "docs"

_BLOCK: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
# What the suite has done already (an environment with the library in it), or does itself.
_DONE: Final = ("pip ", "python3 -m venv", ". .venv", "mkdir ", "cd ", "curl ", "make ", "uvicorn ")


@dataclass(frozen=True)
class Block:
    """A piece of code in a page; with a title it is a file."""

    language: str
    title: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the code of a page, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["language"], match["title"], match["text"]) for match in found]


def section(page: Path, heading: str) -> str:
    """Return the text under a heading of the second level."""
    _, _, rest = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert rest, f"{page.name} has no section {heading!r}"
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row, without headings and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rules = [i for i, line in enumerate(lines) if set(line) <= set("|- ")]
    return [row for i, row in enumerate(cells) if i not in rules and i + 1 not in rules]


@dataclass(frozen=True)
class Folder:
    """Somebody's empty folder, and what they type there."""

    path: Path
    programs: Path = Path(sys.executable).parent
    """The ``bin`` of the environment that is active."""

    @property
    def environment(self) -> dict[str, str]:
        """Only what a fresh terminal with the active environment has."""
        found = {"PATH": f"{self.programs}:{os.environ['PATH']}"}
        return {**found, "HOME": str(self.path), "LANG": "C.UTF-8"}

    def write(self, name: str, text: str) -> None:
        """Write a file, and the folders above it."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.parent != self.path:
            (file.parent / "__init__.py").touch()
        file.write_text(text, encoding="utf-8")

    def write_files(self, code: Sequence[Block]) -> None:
        """Write every block that has a title."""
        for block in code:
            if block.title:
                self.write(block.title, block.text)

    def shell(self, script: str) -> str:
        """Run what a page tells to type, except for what has been done."""
        lines = [line for line in script.splitlines() if not line.startswith(_DONE)]
        return self.typed("\n".join(lines))

    def typed(self, script: str) -> str:
        """Run a script, all of it."""
        return self._run("bash", "-euc", script)

    def python(self, program: str) -> str:
        """Run a program; a failed assertion in it fails the test with its traceback."""
        return self._run(str(self.programs / "python"), "-c", program)

    def _run(self, *command: str) -> str:
        done = subprocess.run(  # noqa: S603 - the pages are ours
            command,
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def serve(self, script: str = "uvicorn main:app") -> Iterator[str]:
        """Run a script that ends with uvicorn's command line, on a free port; yield the base URL."""
        url = f"http://{HOST}:{(port := free_port())}"
        log = self.path / "uvicorn.log"
        command = "exec uvicorn main:app"
        started = script.replace("uvicorn main:app", f"{command} --host {HOST} --port {port}")
        assert command in started
        process = guarded(
            *["bash", "-euc", started],
            stop=signal.SIGTERM,
            log=log,
            cwd=self.path,
            env=self.environment,
        )
        try:
            wait_until(lambda: _answers(url), what=script, process=process, log=log)
            yield url
        except BaseException as error:
            error.add_note(log.read_text(errors="replace"))
            raise
        finally:
            end(process)


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True
