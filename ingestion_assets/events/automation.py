"""When assets follow their inputs without being asked."""

from typing import Any

import dagster as dg


def when_inputs_changed() -> dg.AutomationCondition[Any]:
    """Ask for the partitions whose inputs were materialized and not refused, once nothing of them is in progress.

    `eager()` does not fit: it looks at the latest time window only, which lies a year ahead here. It also waits for
    every input to exist, and a source that is switched off never does. Both halves of the first clause are needed: the
    plain one is lost when an input arrives while a run is in progress, the latched one when it arrives between a
    request and the next tick. The price is that two sources which arrive one after the other are followed twice; a
    week that has not changed costs one comparison. What still gets lost, after a restart, the nightly sweep finds.
    """
    updated = dg.AutomationCondition.any_deps_updated()
    latched = updated.since(dg.AutomationCondition.newly_requested() | dg.AutomationCondition.initial_evaluation())
    return (
        (updated | latched)
        & ~dg.AutomationCondition.in_progress()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~_any_deps_refused()
    ).with_label("inputs changed")


def _any_deps_refused() -> dg.AutomationCondition[Any]:
    """A blocking check of an input failed, or its run has not come to it yet.

    Inputs are made by runs of their own, in which nothing stops those who follow: this does. Dagster's own
    `all_deps_blocking_checks_passed()` wants every check to have passed, so that a source which is not set up, or whose
    import failed before its checks, would hold back all others for ever. Here only what a check said counts, and only
    until the next run of its source; the checks have no partitions, so it holds back every week.
    """
    not_yet = dg.AutomationCondition.run_in_progress()  # rows are there before the checks have looked at them
    return dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.any_checks_match(dg.AutomationCondition.check_failed() | not_yet, blocking_only=True)
    ).with_label("inputs refused")
