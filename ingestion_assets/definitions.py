"""Everything Dagster loads, in one place: a table of contents, not a place for logic."""

from __future__ import annotations

import dagster as dg

from ingestion_assets.events.definitions import event_definitions
from resources.definitions import OutboundResource, PostgresResource


def build_definitions() -> dg.Definitions:
    """The one assembly for the webserver, the command line and the tests."""
    postgres = PostgresResource()
    return dg.Definitions.merge(
        event_definitions(),
        dg.Definitions(
            resources={"postgres": postgres, "outbound": OutboundResource(postgres=postgres)},
            # A run is a process of its own, and its steps wait for networks: a process for each step as well would cost
            # two CPU seconds a step and leave orphans behind when the run is killed.
            executor=dg.in_process_executor,
        ),
    )


defs = build_definitions()
