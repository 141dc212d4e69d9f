"""Ids are opaque, inherited by the larger part, never used twice."""

from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion_assets.events.deduplication.identity import assign_identities
from ingestion_assets.events.deduplication.records import Key


def key(name: str) -> Key:
    return Key("s", name)


def keys(names: str) -> list[Key]:
    return [key(name) for name in names]


def minter(prefix: str = "new"):
    serial = count(1)
    return lambda: f"{prefix}{next(serial)}"


def assign(clusters: list[str], previous: dict[str, str], **options):
    return assign_identities(
        [keys(cluster) for cluster in clusters],
        {key(name): identity for name, identity in previous.items()},
        mint=options.pop("mint", minter()),
        **options,
    )


def ids(identities) -> list[str]:
    return [identity.canonical_id for identity in identities.by_cluster]


def test_a_first_run_mints_an_id_for_each_cluster():
    result = assign(["ab", "c"], {})
    assert ids(result) == ["new1", "new2"]
    assert all(identity.is_new and identity.split_from is None for identity in result.by_cluster)


def test_an_unchanged_run_keeps_every_id():
    previous = {"a": "X", "b": "X", "c": "Y"}
    result = assign(["ab", "c"], previous)
    assert ids(result) == ["X", "Y"]
    assert not result.replaced_by
    assert not result.moved


def test_a_merge_keeps_the_id_of_most_records_and_the_other_leads_on():
    result = assign(["abc"], {"a": "X", "b": "Y", "c": "Y"})
    assert ids(result) == ["Y"]
    assert result.replaced_by == {"X": "Y"}
    assert result.moved == (key("a"),)


def test_a_tied_merge_keeps_the_oldest_id():
    assert ids(assign(["ab"], {"a": "X", "b": "Y"}, age={"X": 2, "Y": 1})) == ["Y"]
    assert ids(assign(["ab"], {"a": "X", "b": "Y"}, age={"X": 1, "Y": 2})) == ["X"]


def test_a_split_keeps_the_id_with_the_larger_part():
    result = assign(["a", "bc"], {"a": "X", "b": "X", "c": "X"})
    assert ids(result) == ["new1", "X"]
    assert result.by_cluster[0].split_from == "X"
    assert not result.replaced_by


def test_a_tied_split_keeps_the_id_with_the_first_record():
    result = assign(["b", "a"], {"a": "X", "b": "X"})
    assert ids(result) == ["new1", "X"]


def test_an_id_stays_with_records_outside_the_run_when_they_are_more():
    result = assign(["a"], {"a": "X", "b": "X", "c": "X"})
    assert ids(result) == ["new1"]
    assert result.by_cluster[0].split_from == "X"
    assert "X" not in result.replaced_by


def test_two_runs_over_two_windows_never_both_keep_one_id_whatever_their_order():
    for order in (["a", "b"], ["b", "a"]):
        known = {key("a"): "X", key("b"): "X"}
        mint = minter()
        for name in order:
            known |= assign_identities([[key(name)]], known, mint=mint).assignments
        assert known[key("a")] != known[key("b")]
        assert known[key("a")] == "X"


def test_a_factory_that_repeats_an_id_is_refused():
    with pytest.raises(ValueError, match="never reused"):
        assign(["a"], {}, mint=lambda: "X", known=["X"])
    with pytest.raises(ValueError, match="never reused"):
        assign(["a", "b"], {}, mint=lambda: "X")


NAMES = "abcdefgh"
partitions = st.lists(st.integers(0, 4), min_size=len(NAMES), max_size=len(NAMES))


def clusters_of(labels: list[int]) -> list[str]:
    groups: dict[int, str] = {}
    for name, label in zip(NAMES, labels, strict=True):
        groups[label] = groups.get(label, "") + name
    return sorted(groups.values())


@given(partitions, partitions, st.randoms(use_true_random=False))
def test_ids_are_unique_and_do_not_depend_on_the_order_of_clusters(before, after, shuffler):
    previous = {name: f"old{label}" for name, label in zip(NAMES, before, strict=True)}
    clusters = clusters_of(after)
    result = assign(clusters, previous)
    assert len(set(ids(result))) == len(clusters)
    mixed = list(clusters)
    shuffler.shuffle(mixed)
    again = assign(mixed, previous)
    kept = {c.members: c.canonical_id for c in result.by_cluster if not c.is_new}
    assert kept == {c.members: c.canonical_id for c in again.by_cluster if not c.is_new}


@given(partitions, partitions)
def test_an_old_id_is_kept_or_leads_on_and_never_both(before, after):
    previous = {name: f"old{label}" for name, label in zip(NAMES, before, strict=True)}
    result = assign(clusters_of(after), previous)
    kept = {identity.canonical_id for identity in result.by_cluster if not identity.is_new}
    assert kept | set(result.replaced_by) == set(previous.values())
    assert not kept & set(result.replaced_by)
    assert set(result.replaced_by.values()) <= set(ids(result))


@given(partitions, partitions)
def test_no_other_assignment_of_one_cluster_would_keep_more_records(before, after):
    previous = {name: f"old{label}" for name, label in zip(NAMES, before, strict=True)}
    result = assign(clusters_of(after), previous)
    for identity in result.by_cluster:
        if identity.is_new and (shares := Counter(previous[k.source_id] for k in identity.members)):
            # Every id that such a cluster could have had went to a cluster with at least as large a share of it.
            for old, share in shares.items():
                holder = next(c for c in result.by_cluster if c.canonical_id == old or old in result.replaced_by)
                if holder.canonical_id == old:
                    assert sum(previous[k.source_id] == old for k in holder.members) >= share


def test_running_twice_gives_what_running_once_gave():
    first = assign(["abc", "d"], {"a": "X", "b": "Y"})
    stored = {k.source_id: identity for k, identity in first.assignments.items()}
    second = assign(["abc", "d"], stored, mint=minter("later"))
    assert ids(second) == ids(first)
