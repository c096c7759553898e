"""Requests generated from an application's OpenAPI document by schemathesis; the same ones in every run."""

from collections.abc import Iterator
from typing import Any, cast

import hypothesis
import requests
import schemathesis
from fastapi import FastAPI
from httpx import AsyncClient, Response
from schemathesis.core.result import Err
from schemathesis.schemas import APIOperation

from tests.fixtures import ORIGIN

Operation = APIOperation[Any, Any, Any, Any]
AnyCase = schemathesis.Case[Any]


def operations_of(app: FastAPI) -> Iterator[Operation]:
    """Every operation of the document; who calls it is the test's matter."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.config.generation.update(with_security_parameters=False)
    for found in schema.get_all_operations():
        if isinstance(found, Err):
            raise found.err()
        yield found.ok()


def cases_of(operation: Operation, count: int) -> list[AnyCase]:
    """At most so many requests that the document allows."""
    cases = list[AnyCase]()

    @hypothesis.settings(
        max_examples=count,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        derandomize=True,
        database=None,
        deadline=None,
    )
    @hypothesis.given(operation.as_strategy())
    def collect(case: AnyCase) -> None:
        cases.append(case)

    collect()
    return cases


async def send(
    client: AsyncClient, case: AnyCase, headers: dict[str, str] | None = None
) -> Response:
    """Send a generated request as it is."""
    request = requests.Request(**case.as_transport_kwargs(base_url=ORIGIN)).prepare()
    content = cast("bytes | str | None", request.body)
    brought = {name: str(value) for name, value in request.headers.items()} | (headers or {})
    return await client.request(
        str(request.method), str(request.url), content=content, headers=brought
    )
