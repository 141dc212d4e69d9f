"""Since when the server answers. Silence from before that proves nothing of anybody: nobody could beat."""

from __future__ import annotations

from typing import Final, LiteralString

ANSWERS_SINCE: Final[LiteralString] = (
    "greatest(pg_postmaster_start_time(),"
    " (SELECT max(backend_start) FROM pg_stat_activity WHERE backend_type = 'walwriter'))"
)
"""A `timestamptz`, as SQL.

The start of the postmaster is not all of it: it stays when one backend is killed and all others go through recovery with it,
and that of a standby lies long before its promotion. The process that writes the log is started after either. To see it,
a role has to be a member of `pg_monitor`; for others the start of the postmaster has to do.
"""
