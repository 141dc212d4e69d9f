"""Runs that were asked for over HTTP and not launched: the service, or Dagster's webserver, was away.

The service launches at once by itself. What it could not launch is asked for here, until there is a run: the request carries
the id of its row as run key and tag, so Dagster makes one run of it however often it is asked, and whoever looks next finds
that run. The service's own way to launch knows no such key: it leaves alone what was asked for here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import dagster as dg

from ingestion_assets.events.raw_events import MAX_RUNTIME_SECONDS, raw_events_key
from ingestion_assets.events.sources import SOURCE_NAMES
from ingestion_assets.ledger import run_launches
from ingestion_assets.ledger.run_launches import LAUNCH_TAG, Launch
from resources.definitions import PostgresResource
from sensors.ticks import bounded, summary

PATIENCE = timedelta(seconds=15)
"""The service has so long for itself: it launches within a second, unless something is wrong."""
HELD = timedelta(hours=25)
"""Nobody else launches what was asked for here. Dagster's daemon goes on with an interrupted tick for up to a day."""
AGAIN = timedelta(minutes=2)
"""A tick that failed, or was killed after a minute, made no run of what it had asked for."""


class Step(StrEnum):
    """What to do about one pending launch."""

    FOUND = "found"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Decision:
    """One pending launch and what becomes of it."""

    launch: Launch
    step: Step
    run_id: str | None = None


def decide(launches: Sequence[Launch], *, run_of: Callable[[Launch], str | None]) -> list[Decision]:
    """A launch that may have happened is looked for; every other one, and one that is not found, is asked for."""
    decisions = []
    for launch in launches:
        run_id = run_of(launch) if launch.unsure else None
        decisions.append(Decision(launch, Step.FOUND if run_id else Step.REQUEST, run_id))
    return decisions


def request(launch: Launch) -> dg.RunRequest:
    """The run. Its key is the row: asked for again, it is the same run."""
    return dg.RunRequest(
        run_key=f"launch {launch.id}",
        asset_selection=[raw_events_key(launch.source)],
        tags={
            **launch.tags,
            "dagster/max_runtime": str(MAX_RUNTIME_SECONDS),
            "source": launch.source,
            LAUNCH_TAG: str(launch.id),
        },
    )


@dg.sensor(
    name="launch_outbox",
    target=dg.AssetSelection.assets(*(raw_events_key(name) for name in SOURCE_NAMES)),
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the runs that were asked for over HTTP and that the service could not launch itself.",
)
def launch_outbox_sensor(context: dg.SensorEvaluationContext, postgres: PostgresResource) -> dg.SensorResult:
    """Decided by `decide`."""

    def run_of(launch: Launch) -> str | None:
        found = context.instance.get_run_records(dg.RunsFilter(tags={LAUNCH_TAG: str(launch.id)}), limit=1)
        return found[0].dagster_run.run_id if found else None

    with bounded(postgres.database) as connection:
        # What was asked for in an earlier tick is a run by now, as a rule.
        asked = run_launches.held(connection, limit=20)
        due = run_launches.claim(connection, limit=10, waited=PATIENCE)
    made = {launch.id: (launch, run_id) for launch in asked if (run_id := run_of(launch))}
    decisions = decide(due, run_of=run_of)
    made |= {each.launch.id: (each.launch, each.run_id) for each in decisions if each.run_id is not None}
    # One transaction, after all that can fail: what it holds is asked for, or nothing is held.
    with bounded(postgres.database) as connection:
        for launch, run_id in made.values():
            run_launches.launched(connection, launch.id, run_id)
        sent = [
            each.launch
            for each in decisions
            if each.run_id is None and run_launches.about_to_send(connection, each.launch, hold=HELD)
        ]
        sent += run_launches.claim_again(connection, hold=HELD, after=AGAIN, limit=10)
    requests = [request(launch) for launch in sent]
    done = [f"{launch.job_name} became run {run_id}" for launch, run_id in made.values()]
    return dg.SensorResult(
        run_requests=requests, skip_reason=None if requests else summary(done, "No run waits to be launched.")
    )
