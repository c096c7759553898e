"""A real browser: Debian's Chromium, driven by Playwright, with nothing but this machine to talk to."""

import shutil
from collections.abc import AsyncIterator, Iterator
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright

from tests.processes import uvicorn_server

ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
ASSETS: Final = resources.files("fastapi_offline") / "static"


@pytest.fixture
def url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The example application on its own port."""
    environment = {
        "DATABASE_URL": database_url,
        "READING_LIST_SECRETS": str(tmp_path / "secrets.env"),
    }
    with uvicorn_server("example_app.main:app", env=environment) as address:
        yield address


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a window."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "Chromium is missing: apt-get install --no-install-recommends chromium"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest.fixture
async def page(browser: Browser, url: str) -> Page:
    """A window at the application; what FastAPI's pages load from elsewhere comes from a package."""
    context = await browser.new_context(base_url=url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)

    async def from_package(route: Route) -> None:
        asset = ASSETS / urlsplit(route.request.url).path.rpartition("/")[2]
        if asset.is_file():
            await route.fulfill(path=str(asset))
        else:
            await route.abort()

    here = {"127.0.0.1", "localhost"}
    await context.route(lambda address: urlsplit(address).hostname not in here, from_package)
    return await context.new_page()
