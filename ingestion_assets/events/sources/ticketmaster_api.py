"""Questions to the Ticketmaster Discovery API, and what its answers and refusals mean.

Belongs here: one request and its outcome. Which requests to make is in `ticketmaster.py`.
Sources: the API's documentation and error bodies seen in public clients (docs/sources.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingestion_assets.events.model import Json
from ingestion_assets.events.sources.fields import identifier, mapping, objects
from ingestion_assets.events.sources.timing import seconds_until, server_time
from resources.errors import PermanentError, TransientError
from resources.http import OutboundClient, Reply, register_secret
from resources.redaction import excerpt

PAGE_SIZE = 200
"""The most that the API allows."""
CAP = 1_000
"""Items within reach of one query: `page × size` must stay below."""
_QUOTA_WAIT = 3_600.0
"""Seconds to stay away when a quota is used up and no reset is named."""
_SPIKE_WAIT = 2.0
"""Seconds. The limit against spikes is per second; its answer need not name a time."""
_SPIKE_RESET = 60.0
"""Seconds. A reset further away is that of the day's quota, which every answer names: no reason to wait for it."""
_MIN_KEY_CHARS = 6


@dataclass(frozen=True, slots=True)
class Listing:
    """One answer: its records, what the service counts for the whole query, and the size of its pages."""

    items: Sequence[Json]
    total: int
    size: int = PAGE_SIZE


class DiscoveryApi:
    """The API for one fetch. `base_url` ends in the version."""

    def __init__(self, client: OutboundClient, *, base_url: str, key: str, locale: str) -> None:
        self._client = client
        self._base = base_url.rstrip("/")
        self._key = key
        self._locale = locale
        register_secret(key)

    def listing(self, resource: str, params: Mapping[str, str], number: int) -> Listing:
        """Page `number` (from 0) of `events`, `venues` or `classifications`.

        Raises PermanentError for a refusal (key, parameters) and TransientError when it is worth asking later.
        """
        sent = {"apikey": self._key, "locale": self._locale, "size": str(PAGE_SIZE), "page": str(number)}
        reply = self._client.get(
            f"{self._base}/{resource}.json", params=sent | dict(params), inspect=self._inspect, expect_json=True
        )
        body = self._json(reply)
        if not isinstance(body, dict):
            raise TransientError(f"Ticketmaster answered {resource} with something that is not a JSON object")
        if body.get("errors") or body.get("fault"):
            raise self._failure(reply, body)
        # Without a result there is no `_embedded` at all.
        items = mapping(body.get("_embedded")).get(resource)
        items = items if isinstance(items, list) else []
        page = mapping(body.get("page"))
        size = _count(page.get("size")) or PAGE_SIZE
        total = _count(page.get("totalElements"))
        return Listing(items, len(items) if total is None else total, min(size, PAGE_SIZE))

    def all(self, resource: str, params: Mapping[str, str]) -> Iterator[dict[str, Json]]:
        """The objects of a listing, as far as the API shows them."""
        number, size = 0, PAGE_SIZE
        while number * size < CAP:
            listing = self.listing(resource, params, number)
            yield from objects(list(listing.items))
            number, size = number + 1, listing.size
            if not listing.items or number * size >= listing.total:
                return

    def _json(self, reply: Reply) -> Json:
        """The body, without the key should the service repeat it in its links: payloads are stored."""
        secret = self._key.encode()
        if len(secret) >= _MIN_KEY_CHARS and secret in reply.body:
            return json.loads(reply.body.replace(secret, b"***"))
        return reply.json()

    def _inspect(self, reply: Reply) -> None:
        """Raise what the service's own words mean, before the status alone decides."""
        if reply.status not in (400, 401, 403, 404, 429):
            return
        try:
            body = mapping(self._json(reply))
        except (ValueError, PermanentError):
            body = {}
        raise self._failure(reply, body)

    def _failure(self, reply: Reply, body: Mapping[str, Json]) -> TransientError | PermanentError:
        """The error of an answer that is a refusal. A fault's own text names the key, so only its code is shown."""
        code = identifier(mapping(mapping(body.get("fault")).get("detail")).get("errorcode")) or ""
        if reply.status == 429 or "ratelimit" in code:
            return self._limited(reply, code)
        if reply.status in (401, 403) or code.startswith("oauth"):
            said = f"HTTP {reply.status}{f', {code}' if code else ''}"
            return PermanentError(f"Ticketmaster refused the key ({said}): check TICKETMASTER_API_KEY")
        details = [
            excerpt(f"{error.get('code')}: {error.get('detail')}", 300) for error in objects(body.get("errors"))[:3]
        ]
        said = "; ".join(details) or code or "no reason given"
        return PermanentError(f"Ticketmaster refused the request (HTTP {reply.status}): {said}")

    def _limited(self, reply: Reply, code: str) -> TransientError:
        # Documented as a date, shown as epoch milliseconds.
        wait = seconds_until(reply.headers.get("Rate-Limit-Reset"), now=server_time(reply))
        if "SpikeArrest" in code:
            near = wait if wait is not None and wait <= _SPIKE_RESET else 0.0
            return TransientError("Ticketmaster asked to slow down", retry_after=max(_SPIKE_WAIT, near))
        if "Quota" in code:
            if wait is None and "Retry-After" not in reply.headers:  # which the client reads
                wait = _QUOTA_WAIT
            return TransientError("Ticketmaster's quota of requests is used up", retry_after=wait)
        return TransientError("Ticketmaster limited the rate of requests", retry_after=wait)


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
