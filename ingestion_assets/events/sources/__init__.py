"""The registry of event sources: one line a source, imported only when used.

To add a source, write one module that holds its settings and its `Source`, and add its line here (docs/adding-a-source.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from ingestion_assets.events.sources.base import Source

_REGISTRY: dict[str, str] = {
    "ticketmaster": "TicketmasterSource",
    "meetup": "MeetupSource",
    "eventbrite": "EventbriteSource",
    "allevents": "AllEventsSource",
    "lavitrine": "LaVitrineSource",
    "open_data_montreal": "OpenDataMontrealSource",
    "ics": "IcsSource",
}

SOURCE_NAMES: tuple[str, ...] = tuple(_REGISTRY)
"""Every source, in the order in which people see them."""


def source_class(name: str) -> type[Source]:
    """The class of a source, its module imported now. KeyError names the sources that exist."""
    if name not in _REGISTRY:
        raise KeyError(f"no source is called {name!r}; there are: {', '.join(SOURCE_NAMES)}")
    return cast("type[Source]", getattr(import_module(f"{__name__}.{name}"), _REGISTRY[name]))
