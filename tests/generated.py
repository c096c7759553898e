"""Requests generated from an application's OpenAPI document by schemathesis; the same ones in every run."""

from collections.abc import Iterator, Mapping
from typing import Any

import hypothesis
import requests
import schemathesis
from httpx import AsyncClient, Response
from schemathesis import GenerationMode
from schemathesis.core.result import Err
from schemathesis.schemas import APIOperation

Operation = APIOperation[Any, Any, Any, Any]
AnyCase = schemathesis.Case[Any]


def operations_of(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation of a document; who calls it is the test's matter."""
    schema = schemathesis.openapi.from_dict(dict(document))
    schema.config.generation.update(with_security_parameters=False)
    for found in schema.get_all_operations():
        if isinstance(found, Err):
            raise found.err()
        yield found.ok()


def cases_of(operation: Operation, count: int, *, allowed: bool = True) -> list[AnyCase]:
    """At most so many requests that the document allows, or does not."""
    mode = GenerationMode.POSITIVE if allowed else GenerationMode.NEGATIVE
    cases = list[AnyCase]()

    @hypothesis.settings(
        max_examples=count,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        derandomize=True,
        database=None,
        deadline=None,
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def collect(case: AnyCase) -> None:
        cases.append(case)

    collect()
    return cases


def request_of(case: AnyCase, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """What httpx's ``request`` takes, to send a generated request as it is."""
    whole = requests.Request(**case.as_transport_kwargs(base_url="http://any")).prepare()
    brought = {name: str(value) for name, value in whole.headers.items()} | (headers or {})
    return {
        "method": whole.method, "url": str(whole.url).removeprefix("http://any"), "content": whole.body,
        "headers": brought,
    }  # fmt: skip


async def send(
    client: AsyncClient, case: AnyCase, headers: dict[str, str] | None = None
) -> Response:
    """Send a generated request."""
    return await client.request(**request_of(case, headers))
