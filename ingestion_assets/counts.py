"""The outcome of an import, the same for every asset."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """Records by outcome. `fetched` is derived, so the identity cannot drift."""

    created: int = 0
    updated: int = 0
    skipped: int = 0
    errors: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def fetched(self) -> int:
        return self.created + self.updated + self.skipped + self.errors

    def __add__(self, other: Counts) -> Counts:
        reasons = dict(self.by_reason)
        for reason, count in other.by_reason.items():
            reasons[reason] = reasons.get(reason, 0) + count
        return Counts(
            created=self.created + other.created,
            updated=self.updated + other.updated,
            skipped=self.skipped + other.skipped,
            errors=self.errors + other.errors,
            by_reason=reasons,
        )
