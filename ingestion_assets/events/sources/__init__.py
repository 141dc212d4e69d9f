"""The registry of event sources: one line a source, imported only when used.

To add a source, write one module that holds its settings and its `Source`, and add its line here (docs/adding-a-source.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from pydantic import ValidationError

from ingestion_assets.events.sources.base import Source, SourceSettings
from resources.redaction import redact

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


def missing_settings(name: str) -> list[str]:
    """What has to be set, or set right, before a source can run: `MEETUP_GROUPS`, or `TICKETMASTER_RADIUS (input
    should be a valid integer)`. Empty: the source is on. One source's mistake concerns no other.
    """
    kind = source_class(name).settings_class
    try:
        return kind().missing()
    except ValidationError as error:
        # Values are left out: they may hold a secret.
        return [_mistake(kind, problem["loc"], problem["msg"]) for problem in error.errors(include_input=False)]


def _mistake(kind: type[SourceSettings], location: tuple[int | str, ...], message: str) -> str:
    variable = str(location[0]) if location else ""
    if variable in kind.model_fields:  # a field that names its variable itself is reported by that name
        variable = f"{kind.model_config.get('env_prefix', '')}{variable}"
    own = message.removeprefix("Value error, ")  # a sentence of ours, which begins with the name of the variable
    if own != message:
        variable, _, message = own.partition(" ")
    return f"{variable.upper()} ({redact(message[:1].lower() + message[1:])[:300]})"
