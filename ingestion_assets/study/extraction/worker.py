"""The child process: limits first, then one file from standard input, then one JSON object on standard output.

Whatever a file does to a parser happens here. The process has no environment, no network client and no database.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ingestion_assets.study.extraction.errors import DocumentError
from ingestion_assets.study.model import DocumentCode


def _limit(cpu_seconds: int, address_bytes: int) -> None:
    import ctypes
    import resource
    import signal

    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (address_bytes, address_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024 * 1024, 256 * 1024 * 1024))
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


def read_document(name: str, content: bytes, *, max_inflated: int, max_chars: int) -> dict[str, Any]:
    """Media type, text and pages of one file. Raises `DocumentError`."""
    from ingestion_assets.study.extraction import archive, decoding, engines, sniff
    from ingestion_assets.study.extraction.canonical import VERSION, canonical

    found = sniff.media_type(name, content)
    if found in sniff.ZIPPED:
        archive.check(content, max_inflated=max_inflated)
    if found in sniff.TEXTS:
        text = decoding.decode(content)
        if found == sniff.PLAIN:
            raw = engines.RawText((text,), paged=False, extractor="plain")
        else:
            raw = engines.read(text.replace("\x00", "").encode(), found)
    else:
        raw = engines.read(content, found)
    if sum(len(page) for page in raw.pages) > max_chars:
        raise DocumentError(
            DocumentCode.TOO_LARGE, f"the text has more than {max_chars:,} characters: split the document"
        )
    result = canonical(raw.pages, paged=raw.paged)
    return {
        "media_type": found,
        "text": result.text,
        "page_starts": result.page_starts,
        "extractor": f"{raw.extractor}/{VERSION}",
    }


def main() -> None:
    """Read the order from the command line, the file from standard input."""
    order = json.loads(sys.argv[1])
    _limit(order["cpu_seconds"], order["address_bytes"])
    try:
        answer = read_document(
            order["name"],
            sys.stdin.buffer.read(),
            max_inflated=order["max_inflated"],
            max_chars=order["max_chars"],
        )
    except DocumentError as error:
        answer = {"code": error.code, "detail": str(error)}
    except MemoryError:
        answer = {"code": DocumentCode.TOO_LARGE, "detail": "reading the file takes too much memory: split it"}
    except RecursionError:
        answer = {"code": DocumentCode.CORRUPT, "detail": "the file is nested too deeply: save it anew"}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
