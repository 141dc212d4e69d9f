"""Collections that a quota left unfinished: a new batch for each, once the quota is back.

The batch that met the quota has ended and said so; a final state does not change. What continues the work is a batch of its
own for the same collection, which `study_batches` launches like any other. Answers are kept, so its run pays for the rest
only.
"""

import dagster as dg

from ingestion_assets.study import collection_store
from resources.definitions import PostgresResource
from sensors.ticks import bounded, summary


@dg.sensor(
    name="recover_study",
    # A provider's minute is the shortest wait there is.
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Gives a new batch to each collection that a quota left unfinished, once the quota is back.",
)
def recover_study_sensor(postgres: PostgresResource) -> dg.SensorResult:
    """Decided by `collection_store.reopen_deferred`: the tables know what is due. Asks for no run itself."""
    with bounded(postgres.database) as connection:
        reopened = collection_store.reopen_deferred(connection)
    return dg.SensorResult(
        skip_reason=summary(
            [f"collection {collection} continues as batch {batch}" for collection, batch in reopened],
            "No collection waits for a quota.",
        )
    )
