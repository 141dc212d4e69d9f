"""What a whole document offers to each of its questions: its terms, names and numbers, for wrong options."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from ingestion_assets.study.model import Chunk
from ingestion_assets.study.offline.facts import Fact, FactKind, definition, hidden_parts, usable
from ingestion_assets.study.sentences import Sentence, sentences
from ingestion_assets.study.text import folded

POOL: Final = 400
"""Candidates kept for one kind of option. A book has thousands of numbers; the wrong ones need not be all of them."""
_VOWELS: Final = frozenset("aeiouéèêëàâîïôöûüyhœ")


@dataclass(slots=True)
class DocumentContext:
    """Facts by chunk, and pools of answers by what they can stand in for."""

    language: str
    facts: dict[int, list[Fact]] = field(default_factory=dict)
    """Of each chunk, by its number."""
    frequency: Counter[str] = field(default_factory=Counter)
    """How often a term is an answer in the document, folded."""
    pools: dict[tuple[str, ...], dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    _sorted: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, chunks: Iterable[Chunk], language: str) -> DocumentContext:
        """Read all chunks of a document. `language` is that of the text, `fr` or `en`."""
        context = cls(language)
        for chunk in chunks:
            context.facts[chunk.number] = list(context._read(chunk))
        return context

    def _read(self, chunk: Chunk) -> Iterable[Fact]:
        for sentence in sentences(chunk.text):
            defined = definition(sentence, self.language)
            if defined is not None:
                self._remember(defined)
                yield defined
            if usable(sentence, self.language):
                for fact in hidden_parts(sentence, self.language):
                    self._remember(fact)
                    yield fact

    def _remember(self, fact: Fact) -> None:
        form = folded(fact.answer)
        self.frequency[form] += 1
        for key in pool_keys(fact):
            pool = self.pools[key]
            if len(pool) < POOL:
                pool.setdefault(form, fact.answer)

    def distractors(self, fact: Fact, count: int, *, wider: bool = False) -> list[str]:
        """Up to `count` answers of the same kind that are not in the fact's sentence, closest in length first."""
        said = f" {folded(fact.sentence.text)} "
        mine = folded(fact.answer)
        chosen: list[str] = []
        stems = {mine[:5]}
        for key in pool_keys(fact)[: 2 if wider else 1]:
            near = sorted(self.pools[key].items(), key=lambda entry: _distance(entry[0], mine))
            for form, written in near:
                if len(chosen) == count:
                    return chosen
                if form in said or (form[:5] in stems and not form[0].isdigit()) or form in (folded(c) for c in chosen):
                    continue
                if len(written) > 2.5 * max(6, len(fact.answer)) or form == mine:
                    continue
                stems.add(form[:5])
                chosen.append(_cased(written, fact))
        return chosen


def pool_keys(fact: Fact) -> list[tuple[str, ...]]:
    """From the closest set of stand-ins to the widest."""
    form = folded(fact.answer)
    vowel = "vowel" if form[:1] in _VOWELS else "consonant"
    number = "plural" if fact.plural else "singular"
    match fact.kind:
        case FactKind.YEAR:
            return [("year",)]
        case FactKind.NUMBER:
            fraction = "decimal" if "." in form or "," in form else "whole"
            return [("number", fraction, str(len(form))), ("number", fraction)]
        case FactKind.NAME:
            return [("name", fact.lead), ("name",)]
        case FactKind.DEFINITION:
            # Never across numbers: "the organelles that …" would give a plural key away.
            return [("definition", number), ("word", number)]
        case _:
            return [
                ("term", fact.lead, vowel, number),
                ("term", _agreement(fact.lead), vowel, number),
                ("word", number),
            ]


def _agreement(lead: str) -> str:
    match lead:
        case "le" | "un" | "du" | "au":
            return "masculine"
        case "la" | "une":
            return "feminine"
        case "les" | "des" | "aux":
            return "many"
        case _:
            return "any"


def _distance(form: str, mine: str) -> tuple[int, bytes]:
    return abs(len(form) - len(mine)) // 3, blake2b(f"{mine}\n{form}".encode(), digest_size=8).digest()


def _cased(written: str, fact: Fact) -> str:
    """A term in the case that its gap asks for: the first word of a sentence has a capital only there."""
    if fact.kind is FactKind.DEFINITION:
        return written[0].upper() + written[1:]
    if fact.kind is FactKind.TERM:
        return written[0].lower() + written[1:] if written[1:].islower() else written
    return written


def sentence_span(chunk: Chunk, sentence: Sentence) -> str:
    """The sentence as the document has it."""
    return chunk.text[sentence.start : sentence.end]
