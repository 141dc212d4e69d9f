"""What a whole fetch brought, gathered for tests: the real source through the real client, in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from ingestion_assets.events.model import Event, FetchWindow, Page, RejectedRecord, Unread
from ingestion_assets.events.sources import source_class
from resources.http import OutboundClient
from tests.fakes._server import FakeService, Truth, VirtualClock

WINDOW = FetchWindow(date(2026, 11, 16), date(2027, 3, 1), "America/Toronto")


@dataclass
class Fetched:
    """Everything that the pages of one fetch held."""

    events: list[Event] = field(default_factory=list)
    rejected: list[RejectedRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    outside: int = 0
    handed_on: dict[str, Event | RejectedRecord | None] = field(default_factory=dict)
    """What of it may have been moved, by id, as the loader would read it."""
    pages: int = 0

    def add(self, page: Page) -> None:
        """One more page."""
        self.pages += 1
        assert len(page.written) in (0, len(page.records))
        self.events.extend(record for record in page.records if isinstance(record, Event))
        self.rejected.extend(record for record in page.records if isinstance(record, RejectedRecord))
        self.warnings.extend(warning.code for warning in page.warnings)
        if page.incomplete:
            self.incomplete.append(page.incomplete)
        self.outside += page.outside_window
        assert len(page.outside) <= page.outside_window
        for record in page.outside:
            read = record.read() if isinstance(record, Unread) else record
            assert read is None or read.source_id == record.source_id
            self.handed_on[record.source_id or ""] = read

    @property
    def by_id(self) -> dict[str, Event]:
        return {event.source_id: event for event in self.events}

    @property
    def reasons(self) -> Counter[str]:
        return Counter(record.reason.value for record in self.rejected)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """The environment with `values`, put back afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


def build(name: str, values: Mapping[str, str]) -> Any:
    """The source `name`, configured by environment variables as in production."""
    cls: Any = source_class(name)
    with environment(values):
        return cls(cls.settings_class())


def fetch(source: Any, *, clock: VirtualClock | None = None, window: FetchWindow = WINDOW) -> Fetched:
    """One fetch with the real client; waits pass in virtual time."""
    clock = clock or VirtualClock()
    found = Fetched()
    with OutboundClient(
        source.policy, allow_private=True, clock=clock.monotonic, sleep=clock.sleep, wall_clock=clock.time
    ) as client:
        for page in source.fetch(window, client):
            found.add(page)
    return found


def fetch_from(service: FakeService, *, window: FetchWindow = WINDOW, **extra: str) -> Fetched:
    """One fetch from a running fake, the source configured by the fake's own environment and `extra`."""
    return fetch(build(service.name, {**service.environment(), **extra}), clock=service.clock, window=window)


def stripped(payload: Any, paths: tuple[str, ...]) -> Any:
    """`payload` without its volatile paths: what the content hash is made of."""
    import copy

    payload = copy.deepcopy(payload)
    for path in paths:
        _drop(payload, path.split("."))
    return payload


def _drop(node: Any, parts: list[str]) -> None:
    head, *rest = parts
    if isinstance(node, list):
        for item in node:
            _drop(item, rest if head == "*" else parts)
    elif isinstance(node, dict):
        if not rest:
            node.pop(head, None)
        elif head in node:
            _drop(node[head], rest)


def count(before: Fetched, after: Fetched, volatile: tuple[str, ...]) -> Truth:
    """What importing `after` on top of `before` must count, by the platform's definitions."""
    known = {event.source_id: stripped(event.payload, volatile) for event in before.events}
    created = updated = skipped = 0
    seen: set[str] = set()
    for event in after.events:
        if event.source_id in seen:
            skipped += 1
            continue
        seen.add(event.source_id)
        if event.source_id not in known:
            created += 1
        elif known[event.source_id] != stripped(event.payload, volatile):
            updated += 1
        else:
            skipped += 1
    return Truth(created=created, updated=updated, skipped=skipped, errors=len(after.rejected))
