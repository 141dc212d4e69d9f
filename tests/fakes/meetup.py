"""Meetup's GraphQL service (`gql-ext`) and its token service: cursors, refusals with HTTP 200, signed assertions.

Answers hold the fields that the query selects and no others. The records are made by us from documentation and public
payloads. The shape of the RATE_LIMITED error is from public client code (docs/sources.md).
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from tests.fakes._server import Answer, FakeService, FaultPlan, Request, Truth, VirtualClock, json_answer

TOKEN = "meetup-canary-9b1c2d3e4f5a6b7c"
CLIENT_KEY = "client-canary-0a1b2c3d"
MEMBER_ID = "424242"
KEY_ID = "signing-key-7"
ZONE = ZoneInfo("America/Toronto")


@lru_cache(maxsize=1)
def key_pair() -> tuple[str, str]:
    """A private and a public RSA key in PEM form, made once a process."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode(), public.decode()


@dataclass(frozen=True, slots=True)
class Node:
    """One event as the service's index sees it."""

    group: str
    instant: datetime
    status: str
    fields: Any
    reason: str | None = None
    """The reason code that the platform must give it; None for a good record."""


class FakeMeetup(FakeService):
    """`count` events of `groups` groups over `days` local days from `start`."""

    name: ClassVar[str] = "meetup"

    def __init__(
        self,
        *,
        count: int = 300,
        groups: int = 3,
        start: date | str = date(2026, 11, 16),
        days: int = 30,
        malformed: int = 0,
        jwt: bool = False,
        token_requests: int | None = None,
        unknown_fields: tuple[str, ...] = (),
        flaky_400: float = 0.0,
        repeat_last_cursor: bool = False,
        retired: bool = False,
        seed: int = 7,
        faults: FaultPlan | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        super().__init__(faults=faults, clock=clock)
        self.urlnames = [f"groupe-{number}" for number in range(groups)]
        self.start_day = date.fromisoformat(start) if isinstance(start, str) else start
        self.days = days
        self.count = count
        self.malformed = malformed
        self.jwt = jwt
        self.token_requests = token_requests
        self.unknown_fields = unknown_fields
        self.flaky_400 = flaky_400
        self.repeat_last_cursor = repeat_last_cursor
        self.retired = retired
        self.seed = seed
        self.tokens_issued = 0
        self._used = 0
        self._made: dict[int, list[Node]] = {}
        self._stumbled: set[bytes] = set()

    @property
    def base_url(self) -> str:
        return f"{self.origin}/gql-ext"

    def environment(self) -> dict[str, str]:
        values = {
            "MEETUP_BASE_URL": self.base_url,
            "MEETUP_GROUPS": ",".join(self.urlnames),
            "INGESTION_ALLOW_PRIVATE_ADDRESSES": "true",
        }
        if not self.jwt:
            return values | {"MEETUP_TOKEN": TOKEN}
        return values | {
            "MEETUP_TOKEN_URL": f"{self.origin}/oauth2/access",
            "MEETUP_CLIENT_KEY": CLIENT_KEY,
            "MEETUP_MEMBER_ID": MEMBER_ID,
            "MEETUP_SIGNING_KEY_ID": KEY_ID,
            "MEETUP_SIGNING_KEY": key_pair()[0],
        }

    def truth(self, pass_number: int) -> Truth:
        if pass_number == 1:
            return Truth(created=self.count, errors=self.malformed)
        changed = sum(1 for number in range(self.count) if _changes(number))
        return Truth(created=self.added, updated=changed, skipped=self.count - changed, errors=self.malformed)

    @property
    def added(self) -> int:
        """How many events pass 2 adds."""
        return max(1, self.count // 50)

    def reasons(self) -> Counter[str]:
        """The reason codes that the malformed records must be given."""
        return Counter(node.reason for node in self.nodes() if node.reason is not None)

    def nodes(self) -> list[Node]:
        """All events of the current pass, by start."""
        if self.current_pass not in self._made:
            self._made[self.current_pass] = sorted(self._make(self.current_pass), key=lambda node: node.instant)
        return self._made[self.current_pass]

    # What the service says.

    def answer(self, request: Request) -> Answer:
        if request.path == "/oauth2/access":
            return self._issue(request)
        if request.path != "/gql-ext" or self.retired:
            said = "This API endpoint is deprecated and will be turned off soon. Please use the new endpoint."
            return json_answer({"message": said}, status=503)
        if not self._admits(request):
            said = "The access token provided is expired, revoked, malformed, or invalid for other reasons."
            return json_answer({"error": "invalid_grant", "error_description": said}, status=401)
        if request.body not in self._stumbled and self._random.random() < self.flaky_400:
            self._stumbled.add(request.body)
            return json_answer({"code": "bad_request", "details": "could not be processed"}, status=400)
        sent = request.json()
        for field in self.unknown_fields:
            if re.search(rf"\b{field}\b", sent["query"]):
                said = f"Validation error (FieldUndefined) : Field '{field}' in type 'Event' is undefined"
                return json_answer({"errors": [{"message": said, "extensions": {"classification": "ValidationError"}}]})
        return self._answered(sent["query"], sent["variables"])

    def _admits(self, request: Request) -> bool:
        expected = f"token-{self.tokens_issued}" if self.jwt else TOKEN
        self._used += 1
        if self.token_requests is not None and self._used > self.token_requests:
            return False
        return request.headers.get("authorization") == f"Bearer {expected}"

    def _issue(self, request: Request) -> Answer:
        import jwt

        form = request.form()
        try:
            assertion = form["assertion"]
            claims = jwt.decode(assertion, key_pair()[1], algorithms=["RS256"], audience="api.meetup.com")
            good = claims["iss"] == CLIENT_KEY and claims["sub"] == MEMBER_ID
            good = good and jwt.get_unverified_header(assertion)["kid"] == KEY_ID
        except (jwt.PyJWTError, KeyError):
            good = False
        if not good or form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return json_answer({"error": "invalid_grant", "error_description": "bad assertion"}, status=400)
        self.tokens_issued += 1
        self._used = 0
        token = {"access_token": f"token-{self.tokens_issued}", "refresh_token": "r", "expires_in": 3600}
        return json_answer(token | {"token_type": "bearer"})

    def _answered(self, query: str, variables: dict[str, Any]) -> Answer:
        urlname = variables["urlname"]
        if "events" not in query:
            return json_answer({"data": {"groupByUrlname": {"id": "1"} if urlname in self.urlnames else None}})
        after, before = (datetime.fromisoformat(variables[name]) for name in ("from", "to"))
        found = [
            node
            for node in self.nodes()
            if node.group == urlname and after <= node.instant <= before and node.status in variables["status"]
        ]
        if urlname not in self.urlnames or not found:
            return json_answer({"data": {"groupByUrlname": None}})
        begin = int(base64.b64decode(variables["after"])) if variables["after"] else 0
        end = begin + min(variables["first"], 100)
        more = end < len(found)
        cursor = base64.b64encode(str(min(end, len(found))).encode()).decode()
        group = {
            "id": "1",
            "name": f"Groupe {urlname}",
            "urlname": urlname,
            "timezone": "US/Eastern" if urlname.endswith("1") else "America/Toronto",
        }
        nodes = [
            {"node": node.fields | {"group": group} if isinstance(node.fields, dict) else node.fields}
            for node in found[begin:end]
        ]
        info = {"hasNextPage": more or self.repeat_last_cursor, "endCursor": cursor}
        events = {"totalCount": len(found), "pageInfo": info, "edges": nodes}
        data = {"groupByUrlname": group | {"events": events}}
        selected = _select(data, _selection(query))
        if self.current_pass > 1:
            selected = _reordered(selected)
        return json_answer({"data": selected})

    def rate_limited(self, request: Request) -> Answer:
        if request.path != "/gql-ext":
            return super().rate_limited(request)
        until = datetime.fromtimestamp(int(self.clock.time()) + self._random.randint(2, 20), UTC)
        facts = {
            "code": "RATE_LIMITED",
            "consumedPoints": 500,
            "resetAt": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        body = json.dumps(
            {"errors": [{"message": "Too many requests, please try again", "extensions": facts}]}
        ).encode()
        return Answer(body=body, not_before=until.timestamp())

    # The records.

    def _make(self, pass_number: int) -> Iterator[Node]:
        chooser = random.Random(self.seed)
        total = self.count + (self.added if pass_number > 1 else 0)
        for number in range(total + self.malformed):
            broken = number >= total
            day = self.start_day + timedelta(days=chooser.randrange(self.days))
            moment = datetime.combine(day, time(chooser.choice((12, 18, 19, 20)), 30), ZONE)
            # Malformed records keep their numbers in pass 2, when there are more good ones.
            name = 900_000_000 + number - total if broken else 300_000_000 + number
            fields = self._fields(
                name, moment, pass_number, changed=pass_number > 1 and not broken and _changes(number)
            )
            group = self.urlnames[number % len(self.urlnames)]
            if broken:
                fields, reason = _broken(fields, number - total)
                yield Node(group, moment, "ACTIVE", fields, reason)
            else:
                yield Node(group, moment, fields["status"], fields)

    def _fields(self, name: int, moment: datetime, pass_number: int, *, changed: bool) -> dict[str, Any]:
        spellings = (
            moment.isoformat(timespec="minutes"),
            moment.isoformat(),
            moment.isoformat(timespec="minutes") + "[America/Toronto]",
            int(moment.timestamp() * 1000),
        )
        kind = ("PHYSICAL", "PHYSICAL", "ONLINE", "HYBRID")[name % 4]
        place = {
            "id": str(27_000_000 + name % 50),
            "name": f"Café {name % 50}",
            "address": f"{name % 50} rue Saint-Denis",
            "city": "Montréal",
            "state": "QC",
            "postalCode": "H2X 3K3",
            "country": "ca",
            "lat": 45.5 + name % 50 / 1000,
            "lon": -73.5 - name % 50 / 1000,
            "venueType": "",
        }
        screen = dict.fromkeys(place) | {"id": "26906060", "name": "Online event", "venueType": "online"}
        return {
            # The id of an event of a series changes when the series moves on.
            "id": f"mfuaiakmcxuz{name}v{pass_number}" if name % 5 == 0 else str(name),
            "token": str(name),
            "title": f"Rencontre {name}" + (" (complet)" if changed else ""),
            "eventUrl": f"https://www.meetup.com/groupe/events/{name}/",
            "description": "Présentations, pizza et **réseautage**.\n\nBienvenue à toutes et à tous !",
            "status": "CANCELLED" if name % 40 == 1 else "ACTIVE",
            "dateTime": spellings[name % 4],
            "duration": "PT2H",
            "endTime": None if name % 2 else (moment + timedelta(hours=3)).isoformat(),
            "eventType": kind,
            "venues": {"PHYSICAL": [place], "ONLINE": [screen], "HYBRID": [screen, place]}[kind],
            "featuredEventPhoto": {
                "id": str(500_000_000 + name),
                "baseUrl": "https://images.example.net/classic-events/",
            },
            "feeSettings": {"required": True, "amount": 10.0, "currency": "CAD"} if name % 6 == 0 else None,
            "topics": {"edges": [{"node": {"name": "Technologie"}}, {"node": {"name": "Python"}}]},
            "rsvps": {"yesCount": name % 60 + pass_number},
            "going": name % 60 + pass_number,
        }


def _changes(number: int) -> bool:
    return number % 10 == 3


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reordered(value[key]) for key in reversed(value)}
    return [_reordered(item) for item in value] if isinstance(value, list) else value


def _broken(fields: dict[str, Any], number: int) -> tuple[Any, str]:
    """One of ten ways to be no event, and the reason code it deserves."""
    ways: list[tuple[Any, str]] = [
        (None, "not_an_object"),
        ("annulé", "not_an_object"),
        (fields | {"id": None, "token": None}, "missing_id"),
        (fields | {"title": "   "}, "missing_title"),
        (fields | {"dateTime": None}, "missing_start"),
        (fields | {"dateTime": "bientôt"}, "invalid_start"),
        (fields | {"dateTime": "2026-02-30T19:00-05:00"}, "invalid_start"),
        (fields | {"dateTime": {"iso": "2026-03-03"}}, "invalid_start"),
        (fields | {"id": [1], "token": {}}, "missing_id"),
        (fields | {"title": ["Rencontre"]}, "missing_title"),
    ]
    return ways[number % len(ways)]


def _selection(query: str) -> dict[str, Any]:
    """The selection set of a query as nested dictionaries: enough of GraphQL for documents with one operation."""
    body = re.sub(r"\([^()]*\)", "", query[query.index("{") :])
    tokens = iter(re.findall(r"[{}]|\w+", body))
    next(tokens)

    def fields() -> dict[str, Any]:
        found: dict[str, Any] = {}
        last = ""
        for token in tokens:
            if token == "}":
                return found
            if token == "{":
                found[last] = fields()
            else:
                last = token
                found[last] = {}
        return found

    return fields()


def _select(value: Any, selection: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_select(item, selection) for item in value]
    if isinstance(value, dict) and selection:
        return {name: _select(value.get(name), inner) for name, inner in selection.items()}
    return value
