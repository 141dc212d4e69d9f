"""Runs of the platform in this process, as short to write as what they are checked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from ingestion_assets.launch import RunOutcome, materialize
from resources.postgres.database import Database
from tests.fakes.feeds import CalendarFeed, CsvFeed, this_week
from tests.fakes.fetching import environment


class Runs:
    """Runs of the platform's own definitions in this process, and what Dagster recorded of them."""

    def __init__(self, database: Database, folder: Path) -> None:
        from ingestion_assets.definitions import defs

        self.defs = defs
        self.database = database
        self.instance = dg.DagsterInstance.ephemeral()
        self.first = this_week()
        self.csv = CsvFeed(folder / "city.csv", self.first)
        self.calendar = CalendarFeed(folder / "calendar.ics", self.first)
        self.last: RunOutcome | None = None

    @contextmanager
    def settings(self, values: Mapping[str, str] | None = None) -> Iterator[None]:
        with environment({"LLM_PROVIDERS": "offline", **self.csv.write(), **self.calendar.write(), **(values or {})}):
            yield

    def __call__(
        self,
        *assets: str,
        weeks: tuple[date, date] | None = None,
        config: Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> RunOutcome:
        """Materialize assets by their keys (`raw_events/ics`) for the weeks of the feeds, as one run."""
        keys = [dg.AssetKey(asset.split("/")) for asset in assets]
        first, last = weeks or (self.csv.first, self.csv.last)
        run_config = {"ops": {asset.replace("/", "__"): {"config": dict(config)} for asset in assets}} if config else {}
        with self.settings(settings):
            self.last = materialize(
                self.defs, keys, first=first, last=last, instance=self.instance, run_config=run_config
            )
        return self.last

    def ok(self, *assets: str, **options: Any) -> dict[str, Any]:
        """The same, but it must succeed with its checks; returns the metadata of the last asset."""
        outcome = self(*assets, **options)
        assert (outcome.problems, outcome.failed_checks, outcome.success) == ([], [], True)
        return self.metadata(assets[-1])

    def events(self, kind: dg.DagsterEventType) -> list[Any]:
        """The last run's events of a kind, in order."""
        assert self.last is not None
        records = self.instance.get_records_for_run(self.last.run_id, of_type=kind).records
        return [record.event_log_entry.dagster_event for record in records]

    def materializations(self, asset: str) -> dict[str, dict[str, Any]]:
        """Metadata of the last run's materializations of an asset, by partition."""
        found = {}
        for event in self.events(dg.DagsterEventType.ASSET_MATERIALIZATION):
            made = event.step_materialization_data.materialization
            if made.asset_key == dg.AssetKey(asset.split("/")):
                found[made.partition] = {name: value.value for name, value in made.metadata.items()}
        return found

    def metadata(self, asset: str) -> dict[str, Any]:
        """What the last run said of the asset as a whole; every partition that it was asked for carries it."""
        return list(self.materializations(asset).values())[-1]

    def jobs(self, source: str | None = None) -> list[dict[str, Any]]:
        rows = self.database.fetch_all("SELECT * FROM import_jobs ORDER BY id")
        return [row for row in rows if source in (None, row["source"])]

    def query(self, statement: Any, **parameters: Any) -> list[dict[str, Any]]:
        return self.database.fetch_all(statement, parameters or None)

    def execute(self, statement: Any, **parameters: Any) -> None:
        with self.database.transaction() as connection:
            connection.execute(statement, parameters or None)


CITY, CALENDAR = "raw_events/open_data_montreal", "raw_events/ics"
EVENTS, TAGS = "deduplicated_events", "tag_enrichments"
