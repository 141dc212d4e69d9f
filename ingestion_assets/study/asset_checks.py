"""What must hold for the study tables, checked in SQL against the stored text after each materialization.

In a run a check looks at the collection of that run; evaluated by itself, at all that there are. To look at every text
again for each new collection would make every run longer than the one before.
"""

from typing import Any, LiteralString

import dagster as dg

from ingestion_assets.study.steps import COLLECTIONS
from resources.definitions import PostgresResource

_UNGROUNDED: LiteralString = """
SELECT count(*) AS items, count(*) FILTER (WHERE broken) AS ungrounded,
    min(collection_id) FILTER (WHERE broken) AS example
FROM (
    SELECT i.collection_id, d.text IS NULL
        OR substring(d.text FROM i.evidence_start + 1 FOR i.evidence_end - i.evidence_start) <> i.quote AS broken
    FROM (SELECT collection_id, document_id, evidence_start, evidence_end, quote FROM study_cards
          UNION ALL SELECT collection_id, document_id, evidence_start, evidence_end, quote FROM study_questions) AS i
    LEFT JOIN LATERAL (SELECT text FROM study_documents d WHERE d.collection_id = i.collection_id
        AND d.document_id = i.document_id AND d.status = 'ready' ORDER BY position LIMIT 1) AS d ON true
    WHERE %(collection)s::text IS NULL OR i.collection_id = %(collection)s) AS items
"""
_ACCOUNTS: LiteralString = """
SELECT id, report->'cards' AS cards, report->'questions' AS questions, report->'chunks' AS chunks,
    (SELECT count(*) FROM study_cards c WHERE c.collection_id = s.id) AS stored_cards,
    (SELECT count(*) FROM study_questions q WHERE q.collection_id = s.id) AS stored_questions,
    (SELECT count(*) FROM study_chunks k WHERE k.collection_id = s.id) AS chunk_rows
FROM study_collections s WHERE state = 'ready' AND (%(collection)s::text IS NULL OR id = %(collection)s)
"""
_DUPLICATES: LiteralString = """
SELECT coalesce(sum(n - 1), 0)::int AS repeated, min(collection_id) AS example FROM (
    SELECT collection_id, count(*) AS n FROM study_cards
    WHERE %(collection)s::text IS NULL OR collection_id = %(collection)s
    GROUP BY collection_id, lower(front), lower(back) HAVING count(*) > 1) AS r
"""


def _look(
    context: dg.AssetCheckExecutionContext, postgres: PostgresResource, query: LiteralString
) -> list[dict[str, Any]]:
    collection = context.partition_key if context.has_partition_key else None
    return postgres.database.fetch_all(query, {"collection": collection})


@dg.asset_check(
    asset=COLLECTIONS,
    description="Every stored card and question quotes its document exactly, at its stored offsets.",
)
def every_item_is_grounded(context: dg.AssetCheckExecutionContext, postgres: PostgresResource) -> dg.AssetCheckResult:
    """The hard invariant of the domain."""
    [row] = _look(context, postgres, _UNGROUNDED)
    return dg.AssetCheckResult(
        passed=row["ungrounded"] == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description="all quotes stand in their documents"
        if row["ungrounded"] == 0
        else f"{row['ungrounded']} of {row['items']} quotes are not in the stored text, for example in {row['example']}: "
        "materialize study_collections anew",
        metadata={"items": row["items"], "ungrounded": row["ungrounded"]},
    )


@dg.asset_check(
    asset=COLLECTIONS,
    description="generated = stored + dropped, chunks = done + failed + skipped, and the tables hold what the report says.",
)
def accounts_add_up(context: dg.AssetCheckExecutionContext, postgres: PostgresResource) -> dg.AssetCheckResult:
    """Nothing is lost silently."""
    wrong = []
    rows = _look(context, postgres, _ACCOUNTS)
    for row in rows:
        for name in ("cards", "questions"):
            tally = row[name] or {"generated": 0, "stored": 0, "dropped": {}}
            if tally["generated"] != tally["stored"] + sum(tally["dropped"].values()):
                wrong.append(f"{row['id']}: {name} do not add up")
            if tally["stored"] != row[f"stored_{name}"]:
                wrong.append(f"{row['id']}: {row[f'stored_{name}']} {name} in the table, {tally['stored']} reported")
        if sum((row["chunks"] or {}).values()) != row["chunk_rows"]:
            wrong.append(f"{row['id']}: chunks do not add up")
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(wrong[:5]) or "all collections add up",
        metadata={"collections": len(rows), "wrong": len(wrong)},
    )


@dg.asset_check(asset=COLLECTIONS, description="No collection holds the same card twice.")
def no_card_twice(context: dg.AssetCheckExecutionContext, postgres: PostgresResource) -> dg.AssetCheckResult:
    """Duplicates are dropped before they are stored; this looks at what is stored."""
    [row] = _look(context, postgres, _DUPLICATES)
    return dg.AssetCheckResult(
        passed=row["repeated"] == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description="no card is stored twice"
        if row["repeated"] == 0
        else f"{row['repeated']} cards are stored twice, for example in {row['example']}",
        metadata={"repeated": row["repeated"]},
    )


STUDY_CHECKS = (every_item_is_grounded, accounts_add_up, no_card_twice)
