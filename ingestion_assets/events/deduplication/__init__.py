"""Deduplication: which records of which sources describe one event, and what that event's id and fields are.

Pure functions over plain values; no Dagster, no SQL. The steps, in order, one module each: `titles` and `venues` read
text, `prepare` makes columns, `blocks` chooses pairs, `pairs` measures them, `weights` scores them, `cluster` groups,
`identity` names and `survive` shows. `resolve` runs the first six, `explain` takes one decision apart, `files` does
all of it for a file.
"""
