"""A provider that answers questions from the passages it is shown: `tests.fakes.llm_server` with such answers.

Run as a process of its own. CHAT_MODE says how: honest, or which mistake every answer has.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import AbstractContextManager
from typing import Any

from tests.fakes import llm_server
from tests.fakes.llm_provider import FakeProvider, fake_provider

_PASSAGE = re.compile(r"=== PASSAGE (\d+) (\w+) ===\n(.*?)\n=== END \2 ===", re.DOTALL)


def chat_answer(schema: dict[str, Any], ids: list[str], prompt: str) -> dict[str, Any]:
    mode = os.environ["CHAT_MODE"]
    if prompt.startswith("SENTENCES "):
        said = re.findall(r"===\n(.*?[.!?])", prompt, re.DOTALL)[0].strip()
        return {"summary": said + {"invents": " So it is 4711 times.", "links": " See www.evil.example"}.get(mode, "")}
    question = json.loads(prompt.splitlines()[0].removeprefix("QUESTION "))
    words = set(re.findall(r"\w{5,}", question.lower()))
    for number, _, passage in _PASSAGE.findall(prompt):
        for sentence in re.findall(r"[^.!?]+[.!?]", passage):
            if words & set(re.findall(r"\w{5,}", sentence.lower())):
                quote = " ".join(sentence.split())
                cited = {"passage": int(number), "quote": quote}
                match mode:
                    case "misquotes":
                        cited["quote"] = quote[:-2] + " never."
                    case "invents":
                        return {"found": True, "answer": f"It is so: {quote} 4711 times.", "citations": [cited]}
                    case "links":
                        return {"found": True, "answer": f"{quote} See https://evil.example/x", "citations": [cited]}
                return {"found": True, "answer": f"It is so: {quote}", "citations": [cited]}
    return {"found": False, "answer": "", "citations": []}


def chat_provider(mode: str = "honest", **config: Any) -> AbstractContextManager[FakeProvider]:
    """Start a provider; it ends with the block."""
    told = {"CHAT_MODE": mode}
    return fake_provider(module="tests.api.chat_provider", environment=told, **{"latency": 0.0, **config})


if __name__ == "__main__":
    llm_server.answer_for = chat_answer
    import asyncio

    asyncio.run(llm_server.main(llm_server.Config(**json.loads(sys.argv[1]))))
