"""The OpenAPI document: what FastAPI writes, with every error as a problem."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from api.problems import MEDIA_TYPE, ProblemDetails
from ingestion_assets.ledger.async_jobs import JobKinds

_REF = {"$ref": "#/components/schemas/ProblemDetails"}
_TEXTS = {
    400: "Malformed.",
    401: "No valid token.",
    403: "Not allowed for this role, or sent by another site.",
    404: "There is no such thing, or it is not yours.",
    409: "Does not fit the present state, or the first request with this key is under way.",
    413: "The body is too large.",
    415: "Not this kind of body.",
    422: "Understood, and not acceptable.",
    429: "Too many requests, or a quota is used up; Retry-After says when to try again.",
    503: "Not available for the moment; Retry-After says when to try again.",
}
USER_KINDS = "ai."
"""Kinds that users may ask for begin so; the others are the platform's own."""
_EVERYWHERE = (400, 422, 429, 503)
DESCRIPTION = """
Answers at once, works in the background. Errors are RFC 9457 problem details (`application/problem+json`).
Everything belongs to a user; what is another's is 404. Rates are per user: 429 with `Retry-After`.
Streams are server-sent events: reconnect with `Last-Event-ID`, stop at 204.
"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of an endpoint that may answer with these, besides what every endpoint may."""
    return {
        status: {"description": _TEXTS[status], "content": {MEDIA_TYPE: {"schema": _REF}}}
        for status in sorted({*statuses, *_EVERYWHERE})
    }


def event_stream(*events: str) -> dict[str, Any]:
    """`content` of an answer whose server-sent events have one of these names; without names, any."""
    event = {"type": "string", **({"enum": list(events)} if events else {})}
    data = {"type": "string", "contentMediaType": "application/json"}
    schema = {
        "type": "object",
        "description": "One event. They come as they happen; comments in between keep the connection open.",
        "required": ["data"],
        "properties": {"event": event, "data": data, "id": {"type": "string"}, "retry": {"type": "integer"}},
    }
    return {"text/event-stream": {"schema": schema}}


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        _describe_kinds(schemas, app.state.service.kinds)
        if app.state.service.settings.public_events:
            _open_events(schema)
        app.openapi_schema = schema
    return app.openapi_schema


def _describe_kinds(schemas: dict[str, Any], kinds: JobKinds) -> None:
    """Say of each kind of job that users may ask for what it takes and what comes of it."""
    offered = [kinds[name] for name in sorted(kinds) if name.startswith(USER_KINDS)]
    asked = schemas["AiRequest"]
    forms, results = [], []
    for kind in offered:
        arguments = _component(schemas, kind.arguments)
        form = {
            "type": "object",
            "title": kind.name,
            "description": kind.description,
            "required": ["kind", *(["arguments"] if kind.arguments else [])],
            "properties": {"kind": {"const": kind.name, "type": "string"}, "arguments": arguments},
            "additionalProperties": False,
        }
        forms.append(form)
        results.append(_component(schemas, kind.result))
    if forms:
        schemas["AiRequest"] = {"title": asked["title"], "description": asked["description"], "oneOf": forms}
        unique = [result for place, result in enumerate(results) if result not in results[:place]]
        schemas["JobOut"]["properties"]["result"] = {
            "anyOf": [*unique, {"type": "null"}],
            "description": "As the kind describes it; null until the job is completed.",
        }


def _component(schemas: dict[str, Any], model: type[BaseModel] | None) -> dict[str, Any]:
    """A reference to the schema of `model`, which is put where references lead."""
    if model is None:
        return {"type": "object"}
    described = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(described.pop("$defs", {}))
    schemas[model.__name__] = described
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _open_events(schema: dict[str, Any]) -> None:
    """Say of events and feeds that a token may be sent and need not be."""
    for path, methods in schema["paths"].items():
        if path.startswith("/events"):
            for operation in methods.values():
                operation["security"] = [{}, *operation.get("security", [])]
