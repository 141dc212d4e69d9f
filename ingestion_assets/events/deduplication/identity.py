"""Which canonical id a cluster carries, run after run.

An id is opaque, minted once and never used again. A cluster inherits the id of most of its records; what merges
leaves `replaced_by`, what splits says `split_from`. Storage belongs to the caller; nothing here reads a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingestion_assets.events.deduplication.records import Key


@dataclass(frozen=True, slots=True)
class Identity:
    """The id of one cluster. `split_from` is set on a new id whose records came out of an older one."""

    canonical_id: str
    members: tuple[Key, ...]
    is_new: bool
    split_from: str | None = None


@dataclass(frozen=True, slots=True)
class Identities:
    """`by_cluster` is in the order of the clusters given."""

    by_cluster: tuple[Identity, ...]
    replaced_by: Mapping[str, str]
    """Ids that no cluster carries any longer -> the id that took over most of their records."""
    moved: tuple[Key, ...]
    """Records whose id is another than before."""

    @property
    def assignments(self) -> dict[Key, str]:
        """Every record's canonical id: what to store for the next run."""
        return {key: identity.canonical_id for identity in self.by_cluster for key in identity.members}


def assign_identities(
    clusters: Sequence[Iterable[Key]],
    previous: Mapping[Key, str],
    *,
    mint: Callable[[], str],
    age: Mapping[str, Any] | None = None,
    known: Iterable[str] = (),
) -> Identities:
    """Match new clusters to old ids: by largest overlap, ties to the oldest id, then to the smallest record key.

    `previous` is every record's last id. Give it whole for the ids touched, with records that are not in `clusters`
    too: where such outsiders hold the larger part of an id (ties: the smallest key), the id stays theirs. So two
    windows resolved one after the other, in either order, never both claim one id.
    `age` orders ids from old to new (a time or a serial number; smaller is older); without it the id itself orders.
    `mint` gives a fresh id; `known` are further ids ever used. ValueError when `mint` repeats one.
    """
    age = age or {}
    present = [tuple(sorted(members)) for members in clusters]
    inside = {key for members in present for key in members}
    outside: dict[str, list[Key]] = {}
    for key, old in previous.items():
        if key not in inside:
            outside.setdefault(old, []).append(key)

    claims: list[tuple[int, Any, str, Key, int]] = []
    origins: list[Counter[str]] = []
    for index, members in enumerate(present):
        overlap = Counter(previous[key] for key in members if key in previous)
        origins.append(overlap)
        first: dict[str, Key] = {}
        for key in members:
            if key in previous:
                first.setdefault(previous[key], key)
        claims += [(-count, _age(age, old), old, first[old], index) for old, count in overlap.items()]
    for old, keys in outside.items():
        claims.append((-len(keys), _age(age, old), old, min(keys), -1))

    owner: dict[str, int] = {}
    taken: dict[int, str] = {}
    for _, _, old, _, index in sorted(claims):
        if old in owner or index in taken:
            continue
        owner[old] = index
        if index >= 0:  # -1 stands for all outsiders, who may hold any number of ids
            taken[index] = old

    used = {*previous.values(), *known}
    identities = []
    for index, members in enumerate(present):
        kept = taken.get(index)
        if kept is not None:
            identities.append(Identity(kept, members, is_new=False))
            continue
        fresh = mint()
        if fresh in used:
            raise ValueError(
                f"the id factory gave {fresh!r} twice; ids are never reused, so mint random or serial ones"
            )
        used.add(fresh)
        parent = min(origins[index].items(), key=lambda item: (-item[1], _age(age, item[0]), item[0]), default=None)
        identities.append(Identity(fresh, members, is_new=True, split_from=parent[0] if parent else None))

    replaced: dict[str, str] = {}
    heirs: dict[str, Counter[str]] = {}
    for index, overlap in enumerate(origins):
        for old, count in overlap.items():
            heirs.setdefault(old, Counter())[identities[index].canonical_id] += count
    for old, shares in sorted(heirs.items()):
        if old not in owner:
            replaced[old] = min(shares.items(), key=lambda item: (-item[1], _age(age, item[0]), item[0]))[0]
    moved = sorted(
        key
        for identity in identities
        for key in identity.members
        if key in previous and previous[key] != identity.canonical_id
    )
    return Identities(tuple(identities), replaced, tuple(moved))


def _age(age: Mapping[str, Any], identity: str) -> tuple[int, Any]:
    """Ids without a known age count as the newest."""
    return (0, age[identity]) if identity in age else (1, identity)
