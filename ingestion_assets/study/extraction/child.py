"""Runs the worker under limits of time and memory, and names what it died of.

The address space limit alone does not bound what is resident: native libraries reserve far more than they touch. So the
parent also looks at the resident size every few milliseconds and ends the child itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Final

from ingestion_assets.study.extraction.errors import DocumentError
from ingestion_assets.study.model import DocumentCode
from ingestion_assets.study.settings import StudySettings
from resources.settings import PROJECT_ROOT

ADDRESS_BYTES: Final = 2 * 1024**3
"""Virtual: threads and arenas of the native library reserve hundreds of megabytes that they never touch."""
_LOOK_EVERY: Final = 0.02
_OUT_OF_MEMORY: Final = "reading the file takes too much memory: split it"
_OUT_OF_TIME: Final = "reading the file took longer than {seconds:.0f} s (STUDY_EXTRACTION_SECONDS): split it"


def run_child(name: str, content: bytes, settings: StudySettings) -> dict[str, Any]:
    """What the worker says of one file, extracted in a child process. Raises `DocumentError`, whatever happens to it."""
    order = {
        "name": name,
        "cpu_seconds": max(1, round(settings.extraction_seconds)),
        "address_bytes": ADDRESS_BYTES,
        "max_inflated": settings.max_inflated_bytes,
        "max_chars": settings.max_text_chars,
    }
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answered:
        given.write(content)
        given.seek(0)
        started = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "ingestion_assets.study.extraction.worker", json.dumps(order)],
            stdin=given,
            stdout=answered,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # No keys, no proxies: what a parser bug could reach is an empty room.
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(PROJECT_ROOT), "MALLOC_ARENA_MAX": "2"},
        )
        try:
            _watch(process, settings, started)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        answered.seek(0)
        output = answered.read()
    if process.returncode != 0:
        raise _died_of(process.returncode, settings)
    answer: dict[str, Any] = json.loads(output)
    if "code" in answer:
        raise DocumentError(DocumentCode(answer["code"]), answer["detail"])
    return answer


def _watch(process: subprocess.Popen[bytes], settings: StudySettings, started: float) -> None:
    """Wait for the end of the child, or make it: by `DocumentError`, when it takes more memory or time than it may."""
    import psutil

    try:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            if watched.memory_info().rss > settings.extraction_memory_bytes:
                raise DocumentError(DocumentCode.TOO_LARGE, _OUT_OF_MEMORY)
            if time.monotonic() - started > settings.extraction_seconds:
                raise DocumentError(
                    DocumentCode.EXTRACTION_TIMEOUT, _OUT_OF_TIME.format(seconds=settings.extraction_seconds)
                )
            time.sleep(_LOOK_EVERY)
    except psutil.NoSuchProcess:
        process.wait()


def _died_of(status: int, settings: StudySettings) -> DocumentError:
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return DocumentError(DocumentCode.EXTRACTION_TIMEOUT, _OUT_OF_TIME.format(seconds=settings.extraction_seconds))
    if status == -signal.SIGABRT:  # how native allocators say that there is no more memory
        return DocumentError(DocumentCode.TOO_LARGE, _OUT_OF_MEMORY)
    return DocumentError(DocumentCode.CORRUPT, "the file breaks the program that reads it: save it anew, or as PDF")
