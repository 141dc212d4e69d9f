"""The OpenAPI document is what the service does: schemathesis asks it everything that the document allows, and more."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from resources.postgres.database import Database
from tests.api.conftest import LiveServer
from tests.api.library import add_document
from tests.study import files


def test_the_document_says_of_every_endpoint_what_it_does_and_how_it_refuses(serve: Callable[..., LiveServer]) -> None:
    document = httpx.get(f"{serve().url}/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


def exercise(server: LiveServer, headers: dict[str, str], *, examples: int) -> int:
    """Send what the document allows, and what it does not, to every endpoint. How many requests."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
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
        # Streams of a batch have no end, but nobody guesses the id of one: what is sent here is refused.

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: object) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(headers=headers, checks=checks)  # type: ignore[attr-defined]

        ask()
    return asked


@pytest.fixture
def everything(
    serve: Callable[..., LiveServer], database: Database, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> LiveServer:
    """A service that refuses nobody for having asked too often, with the kinds of jobs that it has in production."""
    monkeypatch.setenv("LLM_PROVIDERS", "offline")
    add_document(database, "root", [files.ENGLISH])
    return serve(kinds=None, documents_per_day=10**6, ai_requests_per_day=10**6, pending_jobs=10**6)


def test_a_few_requests_to_every_endpoint_get_what_the_document_says(
    everything: LiveServer, admin: dict[str, str]
) -> None:
    assert exercise(everything, admin, examples=1) > 25


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_request_makes_the_service_fail_or_leave_its_document(
    everything: LiveServer, admin: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    asked = exercise(everything, admin, examples=100)
    record_property("requests", asked)
    assert asked > 2000
