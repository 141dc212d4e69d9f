"""Deduplication of a file, without a database: records in, cluster ids out, identities kept in a state file.

    counts = deduplicate_file(Path("records.csv"), Path("clusters.csv"), state=Path("identities.jsonl"))

The state holds each record's last id and the corpus statistics of the first call, so that later calls, also on other
days' records, keep ids and answers. Each call should bring all the records of the days that it brings.
"""

from __future__ import annotations

import csv
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ingestion_assets.events.deduplication.collecting import no_cycles_sought
from ingestion_assets.events.deduplication.identity import assign_identities
from ingestion_assets.events.deduplication.reading import UnreadableFileError, read_table
from ingestion_assets.events.deduplication.records import Key, Override, Record
from ingestion_assets.events.deduplication.resolve import Config, resolve
from ingestion_assets.events.deduplication.statistics import CorpusStatistics, build_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORMAT = "event-identities/1"


def deduplicate_file(
    input: Path,  # noqa: A002 - the name of the command's option
    output: Path,
    *,
    state: Path | None = None,
    refresh_statistics: bool = False,
    default_zone: str | None = None,
    overrides: Sequence[Override] = (),
    config: Config | None = None,
) -> dict[str, Any]:
    """Cluster the records of `input` and write `source, source_id, cluster_id, score` to `output`, in input order.

    Returns the counts `fetched = created + updated + skipped + errors` (against `state`: without it every record is
    created), the number of `clusters`, `records`, ids `replaced`, the versions used and the first `problems`.
    UnreadableFileError when the input or the state cannot be used. Both files are written whole or not at all.
    `refresh_statistics` takes new statistics from this input although the state has some: clusters may change.
    """
    with no_cycles_sought():
        return _deduplicate(
            input,
            output,
            state=state,
            refresh_statistics=refresh_statistics,
            default_zone=default_zone,
            overrides=overrides,
            config=config or Config(reasons=False),
        )


def _deduplicate(
    input: Path,  # noqa: A002
    output: Path,
    *,
    state: Path | None,
    refresh_statistics: bool,
    default_zone: str | None,
    overrides: Sequence[Override],
    config: Config,
) -> dict[str, Any]:
    table = read_table(input, default_zone=default_zone)
    before = _read_state(state) if state is not None and state.exists() else _State()
    statistics = before.statistics
    if statistics is None or refresh_statistics:
        statistics = build_statistics(table.records)
    resolution = resolve(table.records, overrides=overrides, statistics=statistics, config=config)
    clusters = [cluster.members for cluster in resolution.clusters]
    present = resolution.links
    identities = assign_identities(
        clusters,
        # Records that this file does not hold make no claim: they may be gone, and hold no id against those here.
        {key: row[0] for key, row in before.rows.items() if key in present},
        mint=_minter(clusters, before),
        age=dict(before.serials),
        known=before.serials,
    )
    assigned = identities.assignments
    created = updated = 0
    for record in table.records:
        row = before.rows.get(record.key)
        if row is None:
            created += 1
        elif row[1] != record.content_hash:
            updated += 1
    with _written_whole(output) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("source", "source_id", "cluster_id", "score"))
        writer.writerows(
            (_cell(key.source), _cell(key.source_id), assigned[key], f"{present[key].score:.4f}")
            for key in (record.key for record in table.records)
        )
    if state is not None:
        _write_state(state, before, table.records, assigned, statistics)
    return {
        "fetched": table.rows,
        "created": created,
        "updated": updated,
        "skipped": table.rows - created - updated - table.error_count,
        "errors": table.error_count,
        "records": len(table.records),
        "clusters": len(clusters),
        "replaced": len(identities.replaced_by),
        "review": len(resolution.review),
        "refused": len(resolution.refused),
        "model_version": resolution.model_version,
        "statistics_version": resolution.statistics_version,
        "problems": [
            {"row": problem.row, "column": problem.column, "message": problem.message} for problem in table.problems
        ],
    }


@dataclass(slots=True)
class _State:
    rows: dict[Key, tuple[str, str]] = field(default_factory=dict)
    """Record -> its last id and content hash."""
    serials: dict[str, int] = field(default_factory=dict)
    """Every id ever given -> its serial number: smaller is older."""
    statistics: CorpusStatistics | None = None


def _minter(clusters: Sequence[tuple[Key, ...]], before: _State) -> Callable[[], str]:
    """Ids out of the order in which new clusters ask: a digest of how many were ever given and of the file's records.

    Opaque and unique; the same file and state give the same ids, so that a call can be repeated.
    """
    seed = hashlib.blake2b(digest_size=16)
    for members in clusters:
        seed.update(repr(members[0]).encode())
    base, used = seed.digest(), before.serials
    serial = len(used)

    def mint() -> str:
        nonlocal serial
        while True:
            serial += 1
            name = "evt_" + hashlib.blake2b(base + serial.to_bytes(8, "big"), digest_size=10).hexdigest()
            if name not in used:
                return name

    return mint


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula. A plain negative number stays as it is."""
    if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not text[1:].replace(".", "", 1).isdigit():
        return "'" + text
    return text


@contextmanager
def _written_whole(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under its name only when it is complete."""
    if not path.parent.is_dir():
        raise UnreadableFileError(f"{path.parent} is no directory to write {path.name} to")
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read_state(path: Path) -> _State:
    import orjson

    state = _State()
    try:
        with path.open("rb") as stream:
            head = orjson.loads(next(stream, b"{}"))
            if head.get("format") != _FORMAT:
                raise UnreadableFileError(f"{path.name} is no state of deduplication; name another file or remove it")
            state.statistics = CorpusStatistics.from_json(head["statistics"])
            state.serials = {name: serial for serial, name in enumerate(head["ids"], start=1)}
            for line in stream:
                source, source_id, name, digest = orjson.loads(line)
                state.rows[Key(source, source_id)] = (name, digest)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UnreadableFileError):
            raise
        raise UnreadableFileError(
            f"{path.name} is damaged ({error}); restore it, or remove it to begin anew"
        ) from error
    return state


def _write_state(
    path: Path, before: _State, records: Iterable[Record], assigned: dict[Key, str], statistics: CorpusStatistics
) -> None:
    import orjson

    rows = dict(before.rows)
    for record in records:
        rows[record.key] = (assigned[record.key], record.content_hash or "")
    fresh = sorted({name for name in assigned.values() if name not in before.serials})
    head = {"format": _FORMAT, "statistics": statistics.to_json(), "ids": [*before.serials, *fresh]}
    with _written_whole(path) as stream:
        stream.write(orjson.dumps(head).decode() + "\n")
        stream.writelines(
            orjson.dumps((*key, name, digest)).decode() + "\n" for key, (name, digest) in sorted(rows.items())
        )
