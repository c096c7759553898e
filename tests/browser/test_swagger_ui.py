"""Swagger UI in a real browser: what a newcomer clicks in the first hour."""

import asyncio
import json
import os
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from tests.example_app.test_story import PASSWORD, confirm, sign_up
from tests.processes import ROOT

LINK = {"url": "https://piccolo-orm.com/", "title": "Piccolo", "tags": []}
IMAGES = ROOT / "docs" / "images"
ACCOUNT = {"username": "mira", "email": "mira@example.com", "password": PASSWORD}

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def operation(page: Page, method: str, path: str) -> Locator:
    """The block of one operation."""
    return page.locator(f".opblock-{method}").filter(
        has=page.locator(f'.opblock-summary-path[data-path="{path}"]')
    )


async def execute(
    page: Page, method: str, path: str, body: object = None, **form: str
) -> tuple[int, Any]:
    """Press *Try it out* and *Execute*; return the status and the body that the browser was answered."""
    block = operation(page, method, path)
    if not await block.locator("button.execute").count():
        await block.locator(".opblock-summary-control").click()
        await block.locator(".try-out__btn").click()
    if body is not None:
        await block.locator("textarea.body-param__text").fill(json.dumps(body))
    for name, value in form.items():
        row = block.locator(f'tr[data-property-name="{name}"]')
        if await row.locator("input[type=checkbox]").count():
            await row.locator("input[type=checkbox]").uncheck()
        await row.locator("input[type=text], input[type=password]").fill(value)
    async with page.expect_response(lambda answer: answer.url.endswith(path)) as answered:
        await block.locator("button.execute").click()
    answer = await answered.value
    shown = block.locator(".live-responses-table td.response-col_status:not(.col_header)")
    await expect(shown).to_contain_text(str(answer.status))
    return answer.status, await answer.json() if answer.status != 204 else None


async def picture(page: Page, name: str) -> None:
    """Keep what the browser shows for the documentation, when ``make screenshots`` asks for it."""
    if os.environ.get("RECORD_SCREENSHOTS"):
        await page.screenshot(path=IMAGES / f"{name}.png")


async def authorize(page: Page) -> None:
    """Fill in the dialog of *Authorize*, and close it when it says that it worked."""
    await page.locator(".auth-wrapper .btn.authorize").first.click()
    form = page.locator(".auth-container").filter(has_text="OAuth2, password")
    await form.locator("#oauth_username").fill("mira")
    await form.locator("#oauth_password").fill(PASSWORD)
    await form.get_by_text("select all", exact=True).click()
    await form.get_by_label("Apply given OAuth2 credentials").click()
    await expect(form).to_contain_text("Authorized")
    await form.locator("h4").first.scroll_into_view_if_needed()
    await picture(page, "authorize")
    await page.locator(".close-modal").click()


def with_second_factor(url: str) -> str:
    """Make an account with an authenticator app; return a code that is good once."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        sign_up(client, "mira")
        client.post("/auth/login", json={"username": "mira", "password": PASSWORD})
        begun = client.post("/auth/mfa/totp").json()
        confirmed, code = confirm(client, begun)
        assert confirmed.status_code == 200, confirmed.text
    return code


async def _a_page(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\n-")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_sign_up_authorize_and_call(page: Page) -> None:
    """Sign up, be refused, Authorize, save a link, log out in the dialog, and be refused again."""
    await page.goto("/docs")

    assert (await execute(page, "post", "/auth/register", ACCOUNT))[0] == 201
    assert (await execute(page, "get", "/links"))[0] == 401
    await authorize(page)
    assert (await execute(page, "post", "/links", LINK))[0] == 201
    status, links = await execute(page, "get", "/links")
    assert (status, [link["title"] for link in links]) == (200, ["Piccolo"])

    await page.locator(".auth-wrapper .btn.authorize").first.click()
    await page.get_by_label("Remove authorization").click()
    await page.locator(".close-modal").click()
    assert (await execute(page, "get", "/links"))[0] == 401


async def test_a_cookie_is_enough_and_another_site_cannot_use_it(page: Page, url: str) -> None:
    """Log in with the cookie and write with it; what another origin posts with it is refused (CSRF)."""
    await page.goto("/docs")
    await execute(page, "post", "/auth/register", ACCOUNT)

    status, _ = await execute(
        page, "post", "/auth/login", {"username": "mira", "password": PASSWORD}
    )
    assert status == 200
    assert (await execute(page, "post", "/links", LINK))[0] == 201
    cookies = {cookie["name"]: cookie for cookie in await page.context.cookies()}
    assert cookies.keys() == {"session", "session-device"}
    assert all((one["httpOnly"], one["sameSite"]) == (True, "Lax") for one in cookies.values())
    assert await page.evaluate("document.cookie") == ""

    # A neighbour on another port is given the cookie by the browser: SameSite knows no ports, and Origin does.
    async with await asyncio.start_server(_a_page, "127.0.0.1", 0) as neighbour:
        port = neighbour.sockets[0].getsockname()[1]
        await page.goto(f"http://127.0.0.1:{port}/")
        options = "{method: 'POST', mode: 'no-cors', credentials: 'include'}"
        async with page.expect_response(f"{url}/auth/logout") as answered:
            await page.evaluate(f"fetch('{url}/auth/logout', {options})")
    answer = await answered.value
    assert "session=" in (await answer.request.all_headers())["cookie"]
    assert answer.status == 403

    await page.goto("/docs")
    assert (await execute(page, "post", "/auth/logout"))[0] == 204
    assert (await execute(page, "get", "/links"))[0] == 401


async def test_a_person_with_a_second_factor(page: Page, url: str) -> None:
    """As docs/how-to/mfa.md says: the token endpoint with ``mfa_code``, and its token into *Authorize*."""
    code = with_second_factor(url)
    await page.goto("/docs")
    form = {"grant_type": "password", "username": "mira", "password": PASSWORD}

    status, refused = await execute(page, "post", "/auth/token", **form)
    assert (status, refused["error"]) == (403, "mfa_required")
    status, tokens = await execute(page, "post", "/auth/token", mfa_code=code, **form)
    assert status == 200
    await page.locator(".auth-wrapper .btn.authorize").first.click()
    bearer = page.locator(".auth-container").filter(has_text="http, Bearer")
    await bearer.locator("input").fill(tokens["access_token"])
    await bearer.get_by_label("Apply credentials").click()
    await expect(bearer).to_contain_text("Authorized")
    await page.locator(".close-modal").click()
    assert (await execute(page, "get", "/links"))[0] == 200


async def test_refusals_are_documented(page: Page) -> None:
    """A protected route shows what 401, 403 and 429 mean before anybody calls it."""
    await page.goto("/docs")
    block = operation(page, "post", "/links")
    await block.locator(".opblock-summary-control").click()
    shown = block.locator(".responses-table .response .response-col_status")
    await expect(shown.first).to_be_visible()
    assert {"201", "401", "403"} <= {text.strip() for text in await shown.all_inner_texts()}
