"""What a check says, and what it may know beside the item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ingestion_assets.study.evidence import Source
from ingestion_assets.study.model import Chunk, DropReason, Evidence


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that was not passed. With a `reason` the item is dropped; without, the id is kept as a flag."""

    id: str
    reason: DropReason | None = None

    @property
    def hard(self) -> bool:
        return self.reason is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an item is checked against."""

    source: Source
    chunk: Chunk
    language: str
    """The language it has to be in."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all checks of an item came to."""

    evidence: Evidence | None
    findings: tuple[Finding, ...]

    @property
    def dropped(self) -> DropReason | None:
        """The first hard finding, in the order of the checks."""
        return next((finding.reason for finding in self.findings if finding.reason is not None), None)

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(sorted({finding.id for finding in self.findings if not finding.hard}))


def collected(findings: Iterable[Finding | None]) -> tuple[Finding, ...]:
    """The findings alone."""
    return tuple(finding for finding in findings if finding is not None)
