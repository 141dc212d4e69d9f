"""Log lines that say whose they are."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from ingestion_assets.logs import LogSettings, current_fields, log_context, setup_logging


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = before
    root.setLevel(level)


def write(root_logger: logging.Logger, form: str) -> io.StringIO:
    stream = io.StringIO()
    setup_logging(LogSettings(INGESTION_LOG_FORMAT=form), stream=stream)
    return stream


def test_a_json_line_has_the_fields_of_its_context(root_logger: logging.Logger) -> None:
    stream = write(root_logger, "json")
    with log_context(run="r1", source="ics"), log_context(job="j", attempt=2, user=None):
        logging.getLogger("ingestion_assets.x").info("page %d", 3)
    logging.getLogger("ingestion_assets.x").info("outside")
    inside, outside = map(json.loads, stream.getvalue().splitlines())
    assert inside.pop("time").endswith("Z")
    assert inside == {
        "level": "INFO",
        "logger": "ingestion_assets.x",
        "message": "page 3",
        "run": "r1",
        "source": "ics",
        "job": "j",
        "attempt": 2,
    }
    assert "run" not in outside


def test_a_text_line_reads_and_has_the_same_fields(root_logger: logging.Logger) -> None:
    stream = write(root_logger, "text")
    with log_context(run="r1"):
        logging.getLogger("a.b.worker").warning("slow")
    assert stream.getvalue().rstrip().endswith("WARNING worker: slow run=r1")


def test_secrets_reach_neither_message_nor_traceback(root_logger: logging.Logger) -> None:
    stream = write(root_logger, "json")
    try:
        int("GET https://x.test/?apikey=SECRETabc123")
    except ValueError:
        logging.getLogger("x").exception("failed: token=%s", "SECRETabc123")
    line = json.loads(stream.getvalue())
    assert line["error"] == "ValueError"
    assert "SECRETabc123" not in stream.getvalue()


def test_a_line_stays_one_line_of_json_whatever_it_says(root_logger: logging.Logger) -> None:
    stream = write(root_logger, "json")
    with log_context(odd=object()):
        logging.getLogger("x").info("two\nlines \ud800 and \x00")
    assert len(stream.getvalue().splitlines()) == 1


def test_setting_up_again_does_not_double_the_lines(root_logger: logging.Logger) -> None:
    write(root_logger, "json")
    stream = write(root_logger, "json")
    logging.getLogger("x").info("once")
    assert len(stream.getvalue().splitlines()) == 1


def test_the_fields_of_one_thread_are_not_those_of_another(root_logger: logging.Logger) -> None:
    seen: list[object] = []
    with log_context(job="mine"):
        thread = threading.Thread(target=lambda: seen.append(dict(current_fields())))
        thread.start()
        thread.join()
    assert seen == [{}]
