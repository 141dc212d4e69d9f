"""Everything Dagster loads, in one place: a table of contents, not a place for logic."""

from __future__ import annotations

import dagster as dg

from ingestion_assets.events.definitions import event_definitions
from ingestion_assets.executor import supervised_executor
from ingestion_assets.study.definitions import study_definitions
from resources.definitions import OutboundResource, PostgresResource
from resources.llm.resource import LlmResource
from sensors.definitions import sensor_definitions


def build_definitions() -> dg.Definitions:
    """The one assembly for the webserver, the command line and the tests."""
    postgres = PostgresResource()
    return dg.Definitions.merge(
        event_definitions(),
        study_definitions(),
        sensor_definitions(),
        dg.Definitions(
            resources={
                "postgres": postgres,
                "outbound": OutboundResource(postgres=postgres),
                "llm": LlmResource(),
            },
            executor=supervised_executor,
        ),
    )


defs = build_definitions()
