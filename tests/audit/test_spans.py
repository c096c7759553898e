"""OpenTelemetry: where the time of a request goes, and nothing about whom."""

import pytest
from httpx import AsyncClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from piccolo_fastapi_auth import Auth, User
from tests.fixtures import PASSWORD, Browsers, Person, bearer, get_tokens, log_in, refresh


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The SDK, set up as an application does before it starts; taken away again, for the API allows it once a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def names(exporter: InMemorySpanExporter) -> list[str]:
    """What was traced since the last look, in the order of its end."""
    found = [span.name for span in exporter.get_finished_spans() if span.name.startswith("auth.")]
    exporter.clear()
    return found


async def test_log_in_refresh_hashing_and_look_up_are_spans(
    exporter: InMemorySpanExporter, new_browser: Browsers, alice: Person
) -> None:
    """Each is one span, within the one that waits for it; a bearer token that needs no database has none."""
    client, device = new_browser(), new_browser()
    assert names(exporter) == ["auth.hash"] * 2  # of the sign-up: the policy, and the hash

    await log_in(client, alice)
    assert names(exporter) == ["auth.hash", "auth.session", "auth.login"]
    await client.get("/user")
    assert names(exporter) == ["auth.session"]
    tokens = await get_tokens(device, alice)
    names(exporter)
    assert (await refresh(device, tokens["refresh_token"])).status_code == 200
    assert "auth.refresh" in names(exporter)
    assert (await device.get("/principal", headers=bearer(tokens))).status_code == 200
    assert names(exporter) == []
    key = (await client.post("/auth/api-keys", json={"name": "robot"})).json()["key"]
    names(exporter)
    await device.get("/user", headers={"X-API-Key": key})
    assert names(exporter) == ["auth.api_key"]


async def test_a_second_start_puts_no_second_span_round(
    exporter: InMemorySpanExporter, auth: Auth[User]
) -> None:
    """Applications stop and start in one process, in tests above all."""
    for _ in range(2):
        async with auth.lifespan():
            await auth.users.hash(PASSWORD)

    assert names(exporter) == ["auth.hash"] * 2


async def test_a_refusal_says_its_code_and_nothing_else(
    exporter: InMemorySpanExporter, client: AsyncClient, alice: Person
) -> None:
    """AUD-3: neither name nor password, in no attribute, event or status of any span."""
    body = {"username": alice.username, "password": "wrong"}
    assert (await client.post("/auth/login", json=body)).status_code == 401

    spans = [one for one in exporter.get_finished_spans() if one.name.startswith("auth.")]
    (login,) = [span for span in spans if span.name == "auth.login"]
    assert dict(login.attributes or {}) == {"auth.code": "invalid_credentials"}
    # No exception: its text and its frames may hold what somebody typed.
    assert [event.name for event in login.events] == ["login.failed"]
    everything = " ".join(span.to_json() for span in spans)
    for secret in (alice.username, alice.email, PASSWORD, "wrong"):
        assert secret not in everything


async def test_without_a_provider_nothing_is_put_round(
    auth: Auth[User], client: AsyncClient, alice: Person
) -> None:
    """The methods are those of their classes."""
    await log_in(client, alice)

    for owner in (auth._parts.login, auth._parts.sessions, auth._parts.sessions.find, auth.users):
        assert not any(name in vars(owner) for name in vars(type(owner)))
