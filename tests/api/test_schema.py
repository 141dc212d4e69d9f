"""The OpenAPI document is what the service does: schemathesis asks it everything that the document allows, and more."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from ingestion_assets.ledger.tokens import Role
from resources.postgres.database import Database
from tests.api.conftest import LiveServer, bearer, token_of


def test_the_document_says_of_every_endpoint_what_it_does_and_how_it_refuses(serve: Callable[..., LiveServer]) -> None:
    document = httpx.get(f"{serve().url}/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


@pytest.mark.soak
def test_no_request_makes_the_service_fail_or_leave_its_document(
    serve: Callable[..., LiveServer], database: Database
) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    server = serve(documents_per_day=10**6, ai_requests_per_day=10**6)
    headers = bearer(token_of(database, "root", role=Role.ADMIN))
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    from hypothesis import HealthCheck, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    # Not "what the schema allows is accepted": a cursor of one's own making fits the schema and is refused.
    checks = [
        not_a_server_error,
        openapi.response_schema_conformance,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_headers_conformance,
    ]
    asked = 0
    for operation in (result.ok() for result in schema.get_all_operations()):
        if operation.path.endswith("/events") and "{" in operation.path:
            continue  # a stream has no end; its refusals are tested elsewhere

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        def ask(case: object) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(headers=headers, checks=checks)  # type: ignore[attr-defined]

        schemathesis_given = operation.as_strategy()
        from hypothesis import given

        given(case=schemathesis_given)(ask)()
    assert asked > 200
