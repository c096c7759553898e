"""PostgreSQL behind a wire that is cut at each message in turn, and then for good (FLT-2, FLT-3, RFT-8)."""

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from piccolo.engine.base import Engine
from piccolo.engine.postgres import PostgresEngine

from tests.faults.flows import FLOWS, Flow, is_well
from tests.faults.wire import Moment, Wire, wire_to
from tests.fixtures import Browsers, Person, bearer, code_of, get_tokens, log_in
from tests.servers import STOP_SECONDS

pytestmark = pytest.mark.parametrize("engine_kind", ["postgres"], indirect=True)


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    """The wire between the application and its database."""
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    async with wire_to(parts.hostname, parts.port) as wire:
        yield wire


@pytest.fixture
async def engine(database_url: str, wire: Wire) -> AsyncIterator[Engine[Any]]:
    """A Piccolo engine whose connections go over the wire."""
    engine = PostgresEngine(
        {"dsn": database_url}
    )  # it connects at once, and blocks the loop: directly
    port = urlsplit(database_url).port
    engine.config["dsn"] = database_url.replace(f":{port}/", f":{wire.port}/")
    await engine.start_connection_pool(min_size=1, max_size=3)
    try:
        yield engine
    finally:
        async with asyncio.timeout(STOP_SECONDS):
            await engine.close_connection_pool()


@pytest.mark.parametrize("moment", get_args(Moment))
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
async def test_a_connection_cut_anywhere_leaves_it_done_or_not_done(
    client: AsyncClient,
    new_browser: Browsers,
    alice: Person,
    *,
    wire: Wire,
    flow: Flow,
    moment: Moment,
) -> None:
    """FLT-2, RFT-8: 503 or the answer itself; before or after, never between; the next request is served."""
    refused = 0
    for at in count(1):
        step = await flow(new_browser, alice)
        wire.cut_at(at, moment)
        answer = await step.send()
        wire.leave_alone()
        await step.check()
        if not wire.was_cut:
            assert answer.is_success
            break
        if not answer.is_success:
            assert (answer.status_code, code_of(answer)) == (503, "temporarily_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            refused += 1

    assert refused > 2
    await is_well(client)


async def test_a_database_that_is_gone_lets_nobody_in(
    app: FastAPI, client: AsyncClient, new_browser: Browsers, alice: Person, wire: Wire
) -> None:
    """FLT-3: every route of ours and of the application: 503 with ``Retry-After``, or a refusal; never 2xx, never 500."""
    await log_in(client, alice)
    tokens = await get_tokens(new_browser(), alice)
    body = {
        "username": "alice", "email": "bob@example.com", "password": alice.password, "method": "totp", "code": "000000",
        "refresh_token": tokens["refresh_token"], "token": tokens["refresh_token"], "mfa_token": "A" * 43,
        "current_password": alice.password, "new_password": "a mule in the larder", "grant_type": "password",
    }  # fmt: skip
    wire.go_down()

    served, unavailable = set(), set()
    for path, item in app.openapi()["paths"].items():
        url = re.sub(r"{\w+}", "00000000-0000-4000-8000-000000000000", path)
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            sent = _body(app, content, body)
            for one, headers in ((client, {}), (new_browser(), bearer(tokens))):
                answer = await one.request(method, url, headers=headers, **sent)
                assert answer.status_code in {200, 202, 204, 400, 401, 404, 422, 503}, (
                    method,
                    path,
                    answer.text,
                )
                if answer.is_success:
                    served.add((method, path))
                if answer.status_code == 503:
                    assert int(answer.headers["retry-after"]) >= 1
                    unavailable.add((method, path))

    assert served == {
        ("get", "/principal"),
        ("get", "/public"),
        ("post", "/public"),
        ("post", "/auth/password/forgot"),
        ("post", "/auth/email/verify/request"),
    }  # they ask nothing of it; the last two answer before anything is looked up, and mail nothing
    assert {("post", "/auth/login"), ("post", "/auth/token"), ("post", "/auth/refresh"), ("post", "/auth/logout"),
            ("post", "/auth/token/revoke"), ("post", "/auth/register"), ("get", "/user"), ("get", "/optional"),
            ("get", "/auth/sessions"), ("delete", "/auth/me"), ("post", "/auth/mfa/verify")} <= unavailable  # fmt: skip


def _body(app: FastAPI, content: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """A body with the members that the operation knows."""
    for kind, description in content.items():
        schema = description["schema"]
        name = schema.get("$ref", "").rsplit("/", 1)[-1]
        members = app.openapi()["components"]["schemas"].get(name, schema).get("properties", {})
        chosen = {key: value for key, value in values.items() if key in members}
        return {"json": chosen} if kind == "application/json" else {"data": chosen}
    return {}
