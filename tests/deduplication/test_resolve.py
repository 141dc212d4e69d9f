"""The pipeline as a whole: what is joined, what is kept apart, and that the result depends on nothing else."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random

import pytest

from benchmarks.deduplication.generate import Spec, generate
from ingestion_assets.events.deduplication.blocks import candidate_pairs
from ingestion_assets.events.deduplication.explain import explain
from ingestion_assets.events.deduplication.prepare import prepare
from ingestion_assets.events.deduplication.records import Override, Record, Resolution, Verdict
from ingestion_assets.events.deduplication.resolve import Config, resolve
from ingestion_assets.events.deduplication.statistics import build_statistics, default_statistics


def clusters(resolution: Resolution) -> set[frozenset[str]]:
    return {frozenset(key.source_id for key in cluster.members) for cluster in resolution.clusters}


def override(a: Record, b: Record, verdict: Verdict, **more) -> Override:
    return Override(a=a.key, b=b.key, verdict=verdict, **more)


@pytest.mark.parametrize(
    ("end", "joined"),
    [(time(23, 0), True), (time(0, 0), True), (None, True), (time(3, 0), False)],
    ids=["ends late", "ends at midnight", "ends on a day", "ends in the night"],
)
def test_a_midnight_that_lasts_all_day_is_no_time(sighting, end, joined):
    day = sighting("Half Moon", source="a", day="2026-03-06", clock="00:00")
    listed = [
        sighting("Half Moon", source="b", day="2026-03-06", clock="20:00"),
        replace(day, end_date=day.local_date, end_time=end),
    ]
    assert (len(resolve(listed).clusters) == 1) is joined


def test_one_event_seen_three_ways_is_one_cluster(sighting):
    records = [
        sighting("Half Moon", source="a"),
        sighting("ANNULÉ - HALF MOON", source="b", clock="19:00"),
        sighting("Half Moon", source="c", day="2026-03-06", clock="01:00"),  # eight in the evening, stored as UTC
    ]
    resolution = resolve(records)
    assert clusters(resolution) == {frozenset("123")}
    assert resolution.clusters[0].day == date(2026, 3, 5)


def test_a_record_alone_is_a_cluster_with_score_one(sighting):
    resolution = resolve([sighting("Half Moon")])
    assert [cluster.score for cluster in resolution.clusters] == [1.0]


def test_nothing_to_resolve_is_an_empty_result():
    assert resolve([]).clusters == ()


def test_two_records_of_one_name_are_refused(sighting):
    one = sighting("Half Moon")
    with pytest.raises(ValueError, match="two records are called a:1"):
        resolve([one, replace(one, title="Other")])


def test_a_record_without_a_time_joins_neither_of_two_showings(sighting):
    records = [
        sighting("The Glass Man", source="a", clock="14:00"),
        sighting("The Glass Man", source="a", clock="20:00"),
        sighting("The Glass Man", source="b", clock=None),
    ]
    resolution = resolve(records)
    assert len(resolution.clusters) == 3
    assert {pair.b for pair in resolution.review} | {pair.a for pair in resolution.review} >= {records[2].key}


def test_the_exact_key_goes_through_the_same_conflicts(sighting):
    records = [
        sighting("Half Moon", source="a", clock="14:00"),
        sighting("HALF MOON!", source="b", clock="14:00"),
        sighting("Half Moon", source="c", clock="20:00"),
        sighting("Half Moon", source="d", clock="14:00", venue_name="Corona"),
        sighting("Half Moon - VIP Package", source="e", clock="14:00"),
    ]
    resolution = resolve(records, config=Config(exact_only=True))
    assert clusters(resolution) == {frozenset("12"), frozenset("3"), frozenset("4"), frozenset("5")}
    assert resolution.model_version == "exact"


def test_a_person_s_merge_joins_what_no_score_would(sighting):
    one, two, other = sighting("Half Moon"), sighting("Paper Kites", source="b"), sighting("Half Moon", source="c")
    resolution = resolve([one, two, other], overrides=[override(one, two, Verdict.MERGE)])
    assert clusters(resolution) == {frozenset("123")}
    assert resolution.links[two.key].reasons == ("merged_by_person",)


def test_a_person_s_merge_reaches_over_dates(sighting):
    one, two = sighting("Half Moon"), sighting("Half Moon", source="b", day="2026-03-20")
    resolution = resolve([one, two], overrides=[override(one, two, Verdict.MERGE)])
    assert clusters(resolution) == {frozenset("12")}
    assert resolution.clusters[0].day == date(2026, 3, 5)


def test_a_person_s_split_blocks_the_way_through_others(sighting):
    records = [sighting("Half Moon", source=source) for source in "abcd"]
    resolution = resolve(records, overrides=[override(records[0], records[1], Verdict.SPLIT)])
    together = [cluster for cluster in resolution.clusters if {records[0].key, records[1].key} <= set(cluster.members)]
    assert not together
    assert "split_by_person" in {refused.reason for refused in resolution.refused}
    assert len(resolution.clusters) == 2


def test_a_split_beats_the_merges_that_would_undo_it(sighting):
    a, b, c = (sighting(title, source=title) for title in ("Half Moon", "Paper Kites", "Blue Owls"))
    decisions = [
        override(a, b, Verdict.SPLIT),
        override(a, c, Verdict.MERGE, when=datetime(2026, 1, 1, tzinfo=UTC)),
        override(c, b, Verdict.MERGE, when=datetime(2026, 1, 2, tzinfo=UTC)),
    ]
    for order in (decisions, decisions[::-1]):
        resolution = resolve([a, b, c], overrides=order)
        assert clusters(resolution) == {frozenset("13"), frozenset("2")}
        assert resolution.unmet_overrides == (decisions[2],)


def test_an_override_about_records_that_are_not_here_changes_nothing(sighting):
    here, gone = sighting("Half Moon"), sighting("Paper Kites")
    assert len(resolve([here], overrides=[override(here, gone, Verdict.MERGE)]).clusters) == 1


@pytest.fixture(scope="module")
def corpus():
    return [row.record for row in generate(Spec(rows=2_500, seed=77, days=24))]


@pytest.fixture(scope="module")
def statistics(corpus):
    return build_statistics(corpus)


@pytest.fixture(scope="module")
def whole(corpus, statistics):
    return resolve(corpus, statistics=statistics)


def same(one: Resolution, two: Resolution) -> bool:
    parts = ("clusters", "refused", "review")
    return all(getattr(one, part) == getattr(two, part) for part in parts) and dict(one.links) == dict(two.links)


def test_the_order_of_the_input_does_not_matter(corpus, statistics, whole):
    mixed = list(corpus)
    Random(3).shuffle(mixed)
    assert same(resolve(mixed, statistics=statistics), whole)


def test_the_size_of_a_batch_does_not_matter(corpus, statistics, whole):
    assert same(resolve(corpus, statistics=statistics, config=Config(batch=150)), whole)


@pytest.mark.parametrize("length", [1, 7])
def test_a_window_with_a_day_on_each_side_finds_what_the_whole_run_finds(corpus, statistics, whole, length):
    first, last = min(r.local_date for r in corpus), max(r.local_date for r in corpus)
    day, beside = first, timedelta(days=1)
    compared = 0
    while day <= last:
        end = day + timedelta(days=length)
        window = [record for record in corpus if day - beside <= record.local_date < end + beside]
        part = resolve(window, statistics=statistics).owned(day, end)
        assert same(part, whole.owned(day, end))
        short = resolve(window, statistics=statistics, window=(day, end))
        assert same(short.owned(day, end), part)
        assert short.pairs_compared <= resolve(window, statistics=statistics).pairs_compared
        compared += len(part.clusters)
        day = end
    assert compared == len(whole.clusters)


def test_statistics_survive_their_own_json(statistics):
    again = type(statistics).from_json(statistics.to_json())
    assert again == statistics
    assert again.version == statistics.version


def test_other_statistics_have_another_version(statistics):
    assert statistics.version != default_statistics().version


def test_text_that_is_no_snapshot_is_refused(statistics):
    with pytest.raises(ValueError, match="no snapshot"):
        type(statistics).from_json('{"documents": 3}')


def test_an_explanation_adds_up_to_the_score(sighting):
    one, two = sighting("Half Moon", clock="20:00"), sighting("Half Moon (Complet)", source="b", clock="19:30")
    told = explain(one.key, two.key, [one, two])
    assert told.same_cluster
    assert told.refusal is None
    odds = told.first_bias + told.second_bias + sum(part.weight for part in (*told.first, *told.second))
    assert 1 / (1 + 2.718281828459045**-odds) == pytest.approx(told.score, abs=1e-5)


def test_an_explanation_names_what_kept_two_records_apart(sighting):
    one, two = sighting("Half Moon - Early Show"), sighting("Half Moon - Late Show", source="b")
    assert explain(one.key, two.key, [one, two]).refusal == "sessions_differ"
    other = sighting("Half Moon", source="c", day="2026-04-01")
    assert explain(one.key, other.key, [one, other]).refusal == "days_apart"
    with pytest.raises(KeyError, match="no record a:99"):
        explain(one.key._replace(source_id="99"), two.key, [one, two])


def pairs_a_record(events: int) -> float:
    rows = generate(Spec(rows=10, seed=5, crowded=events, days=3))
    batch = prepare([row.record for row in rows if row.kind == "crowd"], default_statistics())
    return len(candidate_pairs(batch)[0]) / len(batch)


def test_the_work_for_one_record_is_bounded_however_crowded_the_day():
    calm, busy = pairs_a_record(800), pairs_a_record(3_200)
    assert busy <= 1.4 * calm  # four times as many records
    assert busy <= 60


def test_overrides_hold_when_everything_is_resolved_anew(corpus, statistics, whole):
    by_key = {record.key: record for record in corpus}
    pair = next(cluster.members[:2] for cluster in whole.clusters if len(cluster.members) == 2)
    alone = [cluster.members[0] for cluster in whole.clusters if len(cluster.members) == 1][:2]
    decisions = [
        override(by_key[pair[0]], by_key[pair[1]], Verdict.SPLIT),
        override(by_key[alone[0]], by_key[alone[1]], Verdict.MERGE),
    ]
    again = resolve(corpus, statistics=statistics, overrides=decisions)
    assert again.links[pair[0]].cluster != again.links[pair[1]].cluster
    assert again.links[alone[0]].cluster == again.links[alone[1]].cluster
