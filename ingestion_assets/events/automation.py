"""When assets follow their inputs without being asked."""

from typing import Any

import dagster as dg


def when_inputs_changed() -> dg.AutomationCondition[Any]:
    """Ask for the partitions whose inputs were materialized, once nothing of them is in progress.

    `eager()` does not fit: it looks at the latest time window only, which lies a year ahead here. It also waits for
    every input to exist, and a source that is switched off never does. Both halves of the first clause are needed: the
    plain one is lost when an input arrives while a run is in progress, the latched one when it arrives between a
    request and the next tick. The price is that two sources which arrive one after the other are followed twice; a
    week that has not changed costs one comparison. What still gets lost, after a restart, the nightly sweep finds.
    """
    updated = dg.AutomationCondition.any_deps_updated()
    latched = updated.since(dg.AutomationCondition.newly_requested() | dg.AutomationCondition.initial_evaluation())
    return (
        (updated | latched) & ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress()
    ).with_label("inputs changed")
