"""Every kind of asynchronous job that this installation knows: what workers do and what may be asked for.

A table of contents, like `definitions.py`. Each domain says in a module of its own what it can do, as a function that
returns its kinds; importing that module must be cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ingestion_assets.assistant.kinds import assistant_kinds
from ingestion_assets.ledger.async_jobs import JobKind, JobKinds

PROVIDERS: Sequence[Callable[[], Iterable[JobKind]]] = (assistant_kinds,)
"""Functions that return the kinds of one domain."""


def job_kinds() -> JobKinds:
    """The kinds of all domains. Raises `ValueError` when two have one name."""
    return JobKinds(kind for provider in PROVIDERS for kind in provider())
