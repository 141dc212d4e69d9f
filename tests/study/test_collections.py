"""Collections through Dagster and PostgreSQL: counted, grounded, repeated without change, killed without loss."""

from __future__ import annotations

import json
import threading
from typing import Any

import dagster as dg
import pytest

from benchmarks.study.book import facts
from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import BatchState, NewFile
from ingestion_assets.study import document_analyses as analyses_module
from ingestion_assets.study import documents as documents_module
from ingestion_assets.study.asset_checks import STUDY_CHECKS
from ingestion_assets.study.collection_store import reopen_deferred
from ingestion_assets.study.definitions import study_definitions
from ingestion_assets.study.study_collections import study_collections
from resources.definitions import PostgresResource
from resources.errors import TransientError
from resources.llm.resource import LlmResource
from tests.fakes.llm_provider import FakeProvider
from tests.study import files
from tests.study.studio import Studio, chapter


class KilledError(Exception):
    """Nothing that the platform knows."""


def test_a_batch_becomes_a_collection_with_counts_checks_and_a_preview(studio: Studio) -> None:
    collection, batch = studio.create(chapter(1), NewFile("broken.pdf", b"%PDF-1.4"), chapter(2), chapter(1))
    result = studio.run(collection)
    documented = studio.metadata(result, "documents")
    assert (documented["created"], documented["skipped"], documented["errors"]) == (2, 1, 1)
    assert documented["codes"] == {"document_corrupt": 1, "duplicate_document": 1}
    made = studio.metadata(result, "study_collections")
    assert made["state"] == "ready"
    assert made["partial"] is True
    assert made["generated"] == made["stored"] + sum(sum(part.values()) for part in made["dropped"].values())
    assert made["evidence_share"] == 1.0
    assert made["created"] == made["cards"] + made["questions"] == made["stored"]
    assert "| Front | Back | Source |" in made["preview"]
    assert len(studio.rows("study_cards", collection)) == made["cards"] > 10
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert len(result.get_asset_check_evaluations()) == len(STUDY_CHECKS)
    found = studio.batch(batch)
    assert found.state is BatchState.READY_PARTIAL
    events = studio.events(batch)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.terminal for event in events] == [False] * (len(events) - 1) + [True]
    assert events[0].type == "ingestion:received"
    assert events[-1].type == "pipeline:partial"
    assert "extraction:document_failed" in [event.type for event in events]
    assert not any(facts(4, seed=1)[0].term in json.dumps(event.payload) for event in events)
    jobs = studio.database.fetch_all("SELECT status, nb_created, nb_errors FROM import_jobs ORDER BY id")
    assert [job["status"] for job in jobs] == ["SUCCESS"] * 3


def test_a_stream_tells_each_phase_and_each_file_once_also_when_steps_are_tried_again(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [
        NewFile("photo.pdf", b"\x89PNG\r\n\x1a\n" + b"x" * 500),
        chapter(1),
        NewFile("nothing.txt", b""),
        NewFile("broken.pdf", b"%PDF-1.4"),
        NewFile("notes.docx", b"plain text"),
        chapter(2),
    ]
    collection, batch = studio.create(*given)
    failed: list[str] = []

    def failing_once(module: Any, name: str) -> None:
        real = getattr(module, name)

        def fails(*arguments: Any, **options: Any) -> Any:
            if failed.count(name) < (1 if name != "_store" else 3):
                failed.append(name)
                if name != "_store" or failed.count(name) == 3:
                    raise TransientError("the database is away", retry_after=0)
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, fails)

    failing_once(documents_module, "_store")
    failing_once(analyses_module, "_client")
    result = studio.run(collection)
    assert failed == ["_store", "_store", "_store", "_client"]
    documented = studio.metadata(result, "documents")
    assert tuple(documented[name] for name in ("created", "updated", "skipped", "errors")) == (2, 0, 0, 4)
    events = studio.events(batch)
    kinds = [event.type for event in events if event.type != "analysis:progress"]
    assert kinds == [
        "ingestion:received",
        *["ingestion:rejected"] * 3,
        "ingestion:validated",
        "extraction:started",
        "extraction:document_done",
        "extraction:document_failed",
        "extraction:document_done",
        "analysis:started",
        "quality:checked",
        "collection:ready",
        "pipeline:partial",
    ]
    assert set(kinds) <= set(batches.EVENTS)
    codes = [event.payload["code"] for event in events if event.type == "ingestion:rejected"]
    assert codes == ["unsupported_media_type", "document_empty", "media_type_mismatch"]
    counted = [
        event.payload["documents"] for event in events if event.type.split(":")[0] in {"ingestion", "extraction"}
    ]
    assert [one["done"] for one in counted[1:]] == [1, 2, 3, 3, 3, 4, 5, 6]
    [quality] = [event.payload for event in events if event.type == "quality:checked"]
    made = studio.metadata(result, "study_collections")
    assert (quality["kept"], quality["dropped"]) == (made["stored"], made["generated"] - made["stored"])


def test_a_stream_tells_that_a_provider_is_asked_again_and_not_for_every_question(
    studio: Studio, provider: FakeProvider
) -> None:
    provider.configure(server_error=0.3)
    collection, batch = studio.create(chapter(1, 12), cards=60)
    studio.run(collection)
    told = [event for event in studio.events(batch) if event.type == "analysis:retrying"]
    assert 1 <= len(told) <= 3
    assert all(event.payload["retry_in_s"] >= 0 for event in told)


def test_a_text_that_comes_twice_is_used_once_also_where_the_files_have_one_name(studio: Studio) -> None:
    first = chapter(1)
    collection, _ = studio.create(first, NewFile(first.name, first.content + b"\n"))
    documented = studio.metadata(studio.run(collection), "documents")
    assert documented["codes"] == {"duplicate_document": 1}
    again = studio.run(collection, config={"documents": {"config": {"again": True}}})
    assert studio.metadata(again, "documents")["codes"] == {"duplicate_document": 1}


def test_checks_look_at_the_collection_of_their_run_and_alone_at_all(studio: Studio) -> None:
    """They looked at all that there ever were: with each collection every later run took longer."""
    damaged, _ = studio.create(chapter(1))
    other, _ = studio.create(chapter(2))
    studio.run(damaged)
    with studio.database.transaction() as connection:
        connection.execute("UPDATE study_cards SET quote = reverse(quote) WHERE position = 0")
        connection.execute("UPDATE study_cards SET front = 'same', back = 'same' WHERE position <= 1")
        connection.execute("DELETE FROM study_questions WHERE position = 0")
    result = studio.run(other)
    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name for name, check in found.items() if not check.passed} == set()
    own = len(studio.rows("study_cards", other)) + len(studio.rows("study_questions", other))
    assert found["every_item_is_grounded"].metadata["items"].value == own
    assert found["accounts_add_up"].metadata["collections"].value == 1
    keys = [dg.AssetCheckKey(check.asset_key, name) for name, check in found.items()]
    job = dg.Definitions(
        assets=[study_collections],
        asset_checks=STUDY_CHECKS,
        jobs=[dg.define_asset_job("checks", selection=dg.AssetSelection.checks(*keys))],
        resources={"postgres": PostgresResource()},
        executor=dg.in_process_executor,
    ).resolve_job_def("checks")
    alone = job.execute_in_process(instance=studio.instance).get_asset_check_evaluations()
    assert [check.passed for check in alone] == [False] * len(STUDY_CHECKS)
    assert all(damaged in str(check.description) for check in alone), "each says which collection"


def test_a_second_run_changes_and_pays_nothing(studio: Studio) -> None:
    collection, _ = studio.create(chapter(1))
    studio.run(collection)
    before = studio.rows("study_cards", collection), studio.rows("study_questions", collection)
    result = studio.run(collection)
    after = studio.rows("study_cards", collection), studio.rows("study_questions", collection)
    for old, new in zip(before, after, strict=True):
        assert {row["id"]: row for row in new} == {row["id"]: row for row in old}
    for name in ("documents", "document_analyses", "study_collections"):
        found = studio.metadata(result, name)
        assert (found["created"], found["updated"], found["errors"]) == (0, 0, 0)
        assert found["skipped"] > 0
    assert studio.metadata(result, "document_analyses")["asked"] == 0


def asked(provider: FakeProvider) -> int:
    return len(provider.books()["entries"])


def test_a_killed_analysis_pays_for_no_finished_chunk_again(
    studio: Studio, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_CONCURRENCY", "1")
    collection, batch = studio.create(chapter(1, 12), cards=60)
    real = analyses_module._Recorder.flush
    flushed: list[int] = []

    def dying(self: Any) -> None:
        real(self)
        flushed.append(1)
        if len(flushed) == 4:
            raise KilledError

    monkeypatch.setattr(analyses_module._Recorder, "flush", dying)
    studio.run(collection, ok=False)
    monkeypatch.setattr(analyses_module._Recorder, "flush", real)
    stored = len(studio.rows("study_answers", collection))
    paid = asked(provider)
    assert 3 <= stored <= paid <= stored + 1
    assert studio.batch(batch).state is BatchState.PROCESSING
    result = studio.run(collection)
    found = studio.metadata(result, "document_analyses")
    assert found["reused"] == stored
    assert asked(provider) == paid + found["asked"]
    assert len(studio.rows("study_answers", collection)) == stored + found["asked"]
    cards = studio.rows("study_cards", collection)
    assert len({(card["front"], card["back"]) for card in cards}) == len(cards) > 5
    assert studio.batch(batch).state is BatchState.READY


@pytest.mark.parametrize("again", [False, True])
def test_a_step_that_is_tried_again_counts_each_file_once(
    again: bool, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, _ = studio.create(chapter(1), NewFile("broken.pdf", b"%PDF-1.4"), chapter(1), chapter(2))
    if again:
        studio.run(collection)
    real = documents_module._store
    stored: list[int] = []

    def failing_once(job: Any, collection_id: str, position: int, *rest: Any, **options: Any) -> None:
        if position == 3 and 3 not in stored:
            stored.append(3)
            raise TransientError("the database is away", retry_after=0)
        stored.append(position)
        real(job, collection_id, position, *rest, **options)

    monkeypatch.setattr(documents_module, "_store", failing_once)
    result = studio.run(collection, config={"documents": {"config": {"again": again}}})
    assert stored == [0, 1, 2, 3, 3]
    [row] = studio.database.fetch_all(
        "SELECT attempt, nb_created, nb_updated, nb_skipped, nb_errors FROM import_jobs WHERE source = %(source)s"
        " ORDER BY id DESC LIMIT 1",
        {"source": f"documents:{collection}"},
    )
    made = (0, 2) if again else (2, 0)
    assert tuple(row.values()) == (2, *made, 1, 1)
    said = studio.metadata(result, "documents")
    assert tuple(said[name] for name in ("created", "updated", "skipped", "errors")) == (*made, 1, 1)


def test_one_document_is_regenerated_and_the_rest_is_not_touched(studio: Studio, provider: FakeProvider) -> None:
    collection, _ = studio.create(chapter(1, 6), chapter(2, 6), cards=30, questions=6)
    studio.run(collection)
    before = {row["id"]: row for row in studio.rows("study_cards", collection)}
    first, second = (row["document_id"] for row in studio.rows("study_documents", collection))
    paid = asked(provider)
    answers = {row["input_hash"]: row["answered_at"] for row in studio.rows("study_answers", collection)}
    config = {"document_analyses": {"config": {"regenerate": ["chapter2.txt"]}}}
    result = studio.run(collection, config=config)
    assert asked(provider) - paid == studio.metadata(result, "document_analyses")["asked"] > 0
    for row in studio.rows("study_answers", collection):
        assert (answers[row["input_hash"]] == row["answered_at"]) is (row["document_id"] == first)
    after = {row["id"]: row for row in studio.rows("study_cards", collection)}
    assert {name: row for name, row in after.items() if row["document_id"] == first} == {
        name: row for name, row in before.items() if row["document_id"] == first
    }
    assert any(row["document_id"] == second for row in after.values())


def test_a_quota_leaves_a_partial_collection_and_a_later_run_finishes_it(
    studio: Studio, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_CONCURRENCY", "1")
    provider.configure(always="insufficient_quota", after=3)
    collection, batch = studio.create(chapter(1, 12), cards=40)
    result = studio.run(collection)
    assert studio.collection(collection)["partial"] is True
    assert studio.metadata(result, "document_analyses")["chunks_done"] == 3
    assert studio.batch(batch).state is BatchState.READY_PARTIAL
    kept = {row["id"] for row in studio.rows("study_cards", collection)}
    assert kept
    provider.configure(always="", after=None)
    studio.database.fetch_all("DELETE FROM llm_pacing RETURNING 1 AS done")
    again = studio.run(collection)
    assert studio.metadata(again, "document_analyses")["reused"] == 3
    assert studio.collection(collection)["partial"] is False
    assert len(studio.rows("study_cards", collection)) > len(kept)


def test_a_quota_before_the_first_answer_is_the_collections_state(studio: Studio, provider: FakeProvider) -> None:
    provider.configure(always="insufficient_quota")
    collection, batch = studio.create(chapter(1))
    studio.run(collection)
    assert studio.collection(collection)["state"] == "quota_exceeded"
    assert studio.batch(batch).state is BatchState.QUOTA_EXCEEDED
    assert studio.events(batch)[-1].type == "pipeline:quota_exceeded"


def test_a_wrong_key_ends_the_batch_with_a_reason(studio: Studio, provider: FakeProvider) -> None:
    provider.configure(keys=["another"])
    collection, batch = studio.create(chapter(1))
    studio.run(collection, ok=False)
    found = studio.batch(batch)
    assert found.state is BatchState.FAILED
    assert found.error_code == "LlmAuthenticationError"
    assert "sk-test" not in str(found)


def test_a_cancelled_batch_stays_cancelled(studio: Studio) -> None:
    collection, batch = studio.create(chapter(1))
    with studio.database.transaction() as connection:
        assert batches.cancel(connection, batch)
    studio.run(collection)
    assert studio.batch(batch).state is BatchState.CANCELLED
    assert [event.terminal for event in studio.events(batch)].count(True) == 1


def test_only_hopeless_files_fail_the_collection_and_say_why(studio: Studio) -> None:
    collection, batch = studio.create(NewFile("scan.pdf", files.scan()))
    studio.run(collection)
    assert studio.collection(collection)["state"] == "failed"
    assert studio.batch(batch).error_code == "no_text_layer"


def test_a_late_writer_is_refused(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    collection, _ = studio.create(chapter(1))
    from ingestion_assets.study import study_collections as module

    real = module.store.write_items

    def taken_over(connection: Any, made: Any, collection_id: str) -> Any:
        return real(connection, made, collection_id)

    original = module._assemble

    def superseded(collection_id: str, job: Any) -> Any:
        with studio.database.transaction() as connection:
            connection.execute("UPDATE import_jobs SET attempt_token = gen_random_uuid() WHERE id = %s", (job.job_id,))
        return original(collection_id, job)

    monkeypatch.setattr(module.store, "write_items", taken_over)
    monkeypatch.setattr(module, "_assemble", superseded)
    studio.run(collection, ok=False)
    assert studio.rows("study_cards", collection) == []


def test_deleting_a_user_deletes_what_is_theirs(studio: Studio) -> None:
    with studio.database.transaction() as connection:
        connection.execute("INSERT INTO users (id) VALUES ('u')")
        batches.create_batch(connection, [chapter(1)], title="t", user_id="u", origin_key="k")
        connection.execute("DELETE FROM users WHERE id = 'u'")
    for table in ("study_collections", "study_batches", "study_batch_events", "study_documents"):
        assert studio.database.fetch_all(f"SELECT 1 AS one FROM {table}") == []  # type: ignore[arg-type]


def test_a_wrong_name_costs_the_right_one_nothing(studio: Studio) -> None:
    content = files.docx([files.ENGLISH])
    collection, _ = studio.create(NewFile("a.pdf", content), NewFile("a.docx", content), NewFile("b.docx", content))
    studio.run(collection)
    found = [(row["name"], row["code"]) for row in studio.rows("study_documents", collection)]
    assert found == [("a.pdf", "media_type_mismatch"), ("a.docx", None), ("b.docx", "duplicate_document")]
    assert studio.collection(collection)["state"] == "ready"


def test_asking_twice_under_one_key_is_one_batch(studio: Studio) -> None:
    with studio.database.transaction() as connection:
        one, new = batches.create_batch(connection, [chapter(1)], title="t", origin_key="k")
        two, again = batches.create_batch(connection, [chapter(1)], title="t", origin_key="k")
        assert (one.id, new, again) == (two.id, True, False)
        with pytest.raises(batches.BatchConflictError):
            batches.create_batch(connection, [chapter(2)], title="t", origin_key="k")


def test_a_retry_is_a_new_batch_for_the_same_collection(studio: Studio) -> None:
    collection, batch = studio.create(chapter(1), NewFile("bad.pdf", b"%PDF-1.4"))
    with studio.database.transaction() as connection:
        assert batches.retry(connection, batch) is None
    studio.run(collection)
    with studio.database.transaction() as connection:
        again = batches.retry(connection, batch)
    assert again is not None
    assert again.collection_id == collection
    result = studio.run(collection)
    assert studio.metadata(result, "documents")["errors"] == 1
    assert studio.batch(again.id).state is BatchState.READY_PARTIAL


def test_two_who_ask_at_once_for_another_try_get_one_batch(studio: Studio) -> None:
    collection, batch = studio.create(chapter(1))
    with studio.database.transaction() as connection:
        batches.finish(connection, batch, BatchState.QUOTA_EXCEEDED, code="quota", message="later")
        connection.execute(
            "UPDATE study_collections SET state = 'quota_exceeded', not_before = now() WHERE id = %s", (collection,)
        )
    others: list[object] = []

    def ask() -> None:
        with studio.database.transaction() as connection:
            others.append(batches.retry(connection, batch))

    with studio.database.transaction() as first:
        assert batches.retry(first, batch) is not None
        second = threading.Thread(target=ask)
        second.start()
        second.join(0.3)
        with studio.database.transaction() as sensor:
            assert reopen_deferred(sensor) == []
    second.join(10)
    assert others == [None]
    with studio.database.transaction() as connection:
        assert reopen_deferred(connection) == []
        assert len(batches.open_batches(connection, collection_id=collection)) == 1


def test_the_definitions_load_with_their_resources() -> None:
    defs = dg.Definitions.merge(
        study_definitions(), dg.Definitions(resources={"postgres": PostgresResource(), "llm": LlmResource()})
    )
    assert {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()} == {
        *("documents", "document_analyses", "study_collections")
    }
