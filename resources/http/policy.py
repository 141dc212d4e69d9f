"""How politely and how patiently one service is called: plain values, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from resources.redaction import SECRET_PARAMS

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundPolicy:
    """Limits of the calls to one service. Times are in seconds, sizes in bytes."""

    name: str
    """Key of pacing and budgets, for example the source's name."""
    requests_per_second: float | None = None
    """Sustained rate to one host, shared by all threads of the process. None: unpaced."""
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    """Budgets in any 60 minutes and any 24 hours; each request on the wire counts, retries and redirects too."""
    connect_timeout: float = 10
    """Name resolution and TCP together, then TLS the same again."""
    read_timeout: float = 30
    """Longest silence between two pieces of an answer."""
    total_timeout: float = 300
    """One call with all its retries, redirects and waits."""
    attempts: int = 8
    """Tries of one call. Seven waits drawn from 0.5, 1, 2 … 30 s take half a minute on average."""
    max_wire_bytes: int = 32 * MIB
    """Largest body as it comes over the wire, before inflation."""
    max_body_bytes: int = 128 * MIB
    """Largest body after inflation."""
    secret_params: frozenset[str] = SECRET_PARAMS
    """Further names of query and form parameters never shown (those in `SECRET_PARAMS` always are)."""
    user_agent: str = "ingestion-platform/0.1"

    def __post_init__(self) -> None:
        """Refuse limits that could never let a call through."""
        for name in (
            "connect_timeout",
            "read_timeout",
            "total_timeout",
            "attempts",
            "max_wire_bytes",
            "max_body_bytes",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} of the policy {self.name!r} must be above 0")
        for name in ("requests_per_second", "requests_per_hour", "requests_per_day"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} of the policy {self.name!r} must be above 0, or None for no limit")
