"""`/problems/…`: what each type of problem means and what to do about it. The `type` of every problem leads here."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Final

import jinja2
from fastapi import APIRouter
from fastapi.responses import Response

from api.problems import TITLES, not_found

router = APIRouter(prefix="/problems", include_in_schema=False)

ADVICE: Final = {
    "not-signed-in": "Send the header Authorization: Bearer, then a token that is valid. An administrator makes one with"
    " the command ingest users add. A token that expired or was revoked opens nothing any more.",
    "forbidden": "Use a token with the role admin: the command ingest users add NAME --admin makes one.",
    "not-found": "Look at the address, and whose token you send. What is another user's is answered as if it did not"
    " exist.",
    "method-not-allowed": "The header Allow, or the document at /openapi.json, says which methods there are.",
    "too-large": "max_bytes says how much is read. Send less at once, or split the file.",
    "unsupported-media-type": "The header Accept of the answer, or the document at /openapi.json, says what to send.",
    "invalid-request": "errors, where it is there, names each field and what is wrong with it. The same request will be"
    " refused again: change it first.",
    "rate-limited": "Wait as many seconds as Retry-After says. Rates are counted by user, and by address without a token.",
    "quota-exceeded": "quota names what is used up: documents_per_day, ai_requests_per_day or tokens_per_day. resets_at"
    " says when there is more. An administrator can raise it (ingest users limit, LLM_DAILY_TOKEN_BUDGET).",
    "unavailable": "Send the same request again after as many seconds as Retry-After says; nothing was done. quota_scope"
    " provider means that the language model's own quota is used up, which no quota of yours changes.",
    "internal-error": "This is our mistake. The log has the details under the id in X-Request-ID and instance: tell it to"
    " whoever runs this service.",
    "conflict": "detail says what stands in the way. Read the thing again, and decide anew.",
    "key-in-use": "Send the same request with the same key again after a moment: it gets the answer of the first one.",
    "key-reused": "An Idempotency-Key names one request for 24 hours. Make a new key for a new request.",
    "wrong-host": "Call the service by a name in INGESTION_API_ALLOWED_HOSTS, or have yours added to it.",
    "cross-site": "A page of another site made your browser send this. If it was you, load our own page again and repeat"
    " it there.",
}
_pages = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FilePath(__file__).resolve().parent.parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)


@router.get("")
async def listed() -> Response:
    """All types."""
    return _html("problems.html", titles=TITLES)


@router.get("/{name}")
async def page(name: str) -> Response:
    """One type."""
    if name not in TITLES:
        raise not_found()
    return _html("problem.html", name=name, title=TITLES[name], advice=ADVICE[name])


def _html(template: str, **context: object) -> Response:
    text = _pages.get_template(template).render(**context)
    headers = {"Cache-Control": "public, max-age=3600"}
    return Response(text, media_type="text/html; charset=utf-8", headers=headers)
