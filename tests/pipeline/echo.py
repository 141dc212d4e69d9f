"""A fake that repeats its caller's credentials in everything it says, in one of many ways of going wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.fakes._server import Answer, FakeService, FaultPlan, Request

CANARY = re.compile(r"[a-z]+-canary-[\w-]+")
"""What every credential of these tests looks like, and nothing else in the repository's data does."""

_DATES = {"localDate", "dateTime", "local", "start_time", "startDate", "date_debut"}
_TITLES = {"name", "title", "eventname", "eventname_raw", "titre", "text", "description", "info"}
_IDS = {"id", "token", "event_id", "identifier", "@id", "url_fiche", "url", "eventUrl"}

MODES = (
    *("400", "401", "403", "404", "429", "500", "503"),
    *("reset", "truncated", "page", "broken json", "other json", "refusal with 200", "redirect", "redirect to a login"),
    *("ids", "malformed records", "good records"),
)
"""Ways of going wrong; in the last three the answers are complete."""


def with_credentials(fake: FakeService) -> dict[str, str]:
    """The fake's environment, with credentials also in the addresses that people give."""
    values = fake.environment()
    if "ICS_FEEDS" in values:
        feeds = values["ICS_FEEDS"].split(", ")
        values["ICS_FEEDS"] = ", ".join(f"{feed}&token=ics-canary-0a1b2c3d4e5f" for feed in feeds)
    if "LAVITRINE_PAGE_URLS" in values:
        values["LAVITRINE_PAGE_URLS"] += "?key=page-canary-0a1b2c3d4e5f"
    if "OPEN_DATA_MONTREAL_CSV" in values:
        values["OPEN_DATA_MONTREAL_CSV"] += "?api_key=csv-canary-0a1b2c3d4e5f"
    return values


def echo(fake: FakeService, mode: str, values: Mapping[str, str] | None = None) -> FakeService:
    """Make `fake` behave in `mode`. `values` is the environment that the platform is given, if not the fake's own."""
    healthy = fake.answer
    if mode in ("reset", "truncated"):
        fake.faults = FaultPlan(**{mode: 1.0}, in_a_row=10**6)

    def answer(request: Request) -> Answer:
        # A service knows the credentials that it gave out, also those that are not in this request.
        known = CANARY.findall(str(fake.environment() if values is None else values))
        said = " ".join(dict.fromkeys([*sent(request), *known]))
        if mode.isdigit():
            return _refusal(int(mode), said)
        if mode == "page":
            return Answer(body=f"<!DOCTYPE html><p>{said}</p>".encode(), content_type="text/html")
        if mode in ("broken json", "reset", "truncated"):
            return Answer(body=f'{{"data": "{said}", '.encode() * 3)
        if mode in ("other json", "refusal with 200"):
            return _other(said, refusal=mode != "other json")
        if mode == "redirect":
            words = "&".join(f"apikey={word}&x={word}" for word in said.split())
            return Answer(status=302, headers={"Location": f"http://127.0.0.1:1/{said.split()[0]}?{words}"})
        if mode == "redirect to a login":
            return Answer(status=307, headers={"Location": f"http://user:{said.split()[0]}@127.0.0.1/login"})
        given = healthy(request)
        changed = _changed(given.body, mode, said)
        return Answer(status=given.status, body=changed, content_type=given.content_type, headers=given.headers)

    fake.answer = answer  # type: ignore[method-assign]
    return fake


def sent(request: Request) -> list[str]:
    """Every credential in a request."""
    words = [*request.headers.values(), *request.query.values(), request.body.decode("latin-1")]
    return CANARY.findall(" ".join(words))


def _refusal(status: int, said: str) -> Answer:
    body = {"error": said, "error_description": said, "message": said, "detail": said, "errors": [{"detail": said}]}
    body["fault"] = {"faultstring": said, "detail": {"errorcode": said}}
    headers = {"WWW-Authenticate": f'Bearer error="{said}"', "X-Echo": said}
    if status in (429, 503):
        headers["Retry-After"] = "7"
    return Answer(status=status, body=json.dumps(body).encode(), headers=headers)


def _other(said: str, *, refusal: bool) -> Answer:
    body: dict[str, Any] = {said: said, "data": said, "result": said, "events": said, "count": said}
    if refusal:
        body |= {
            "success": False,
            "error": {"message": said},
            "errors": [{"message": said, "extensions": {said: said}}],
        }
    return Answer(body=json.dumps(body).encode())


def _changed(body: bytes, mode: str, said: str) -> bytes:
    keys = {"good records": _TITLES, "malformed records": _DATES, "ids": _IDS}[mode]
    try:
        value = json.loads(body)
    except ValueError:
        return _changed_text(body, mode, said)
    return json.dumps(_walk(value, keys, said)).encode()


def _walk(value: Any, keys: set[str], said: str) -> Any:
    if isinstance(value, list):
        return [_walk(item, keys, said) for item in value]
    if isinstance(value, dict):
        walked = {key: _walk(item, keys, said) for key, item in value.items()}
        for key in keys & walked.keys():
            if isinstance(walked[key], str | int):
                walked[key] = f"{walked[key]} {said}"
        return {**walked, "echo": said, said: 1}
    return value


def _changed_text(body: bytes, mode: str, said: str) -> bytes:
    """Calendars, CSV files and pages with JSON-LD: the same, by their spelling."""
    places: dict[str, tuple[tuple[str, str], ...]] = {
        "good records": (("SUMMARY:", "SUMMARY:{} "), ('"name": "', '"name": "{} '), ("Activité d", "{} Activité d")),
        "malformed records": (("T193000", "T{}"), ('"startDate": "', '"startDate": "{} '), (",2026-", ",{}-2026-")),
        "ids": (("UID:", "UID:{}-"), ('"@id": "', '"@id": "{}'), ("/evenements/activite", "/evenements/{}-activite")),
    }
    text = body.decode("utf-8", "surrogateescape")
    for old, new in places[mode]:
        text = text.replace(old, new.format(said.replace(" ", "+")))
    return text.encode("utf-8", "surrogateescape")
