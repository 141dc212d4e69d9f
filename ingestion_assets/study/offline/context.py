"""What a whole document offers to each of its questions: its terms, names and numbers, for wrong options."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from ingestion_assets.study.lexicon import lexicon
from ingestion_assets.study.model import Chunk
from ingestion_assets.study.offline.facts import Fact, FactKind, definition, doing, hidden_parts
from ingestion_assets.study.offline.names import NameKind, Names
from ingestion_assets.study.offline.standing import usable
from ingestion_assets.study.sentences import Sentence, sentences
from ingestion_assets.study.text import content_words, folded

POOL: Final = 400
"""Candidates kept for one kind of option. A book has thousands of numbers; the wrong ones need not be all of them."""
_KNOWN: Final = frozenset({NameKind.PERSON, NameKind.PLACE})
_PEOPLE: Final = lexicon("people")
_SAME: Final = 0.5
"""Share of the words of a meaning from which two things are told apart too little."""
_VOWELS: Final = frozenset("aeiouéèêëàâîïôöûüyhœ")


@dataclass(slots=True)
class DocumentContext:
    """Facts by chunk, and pools of answers by what they can stand in for."""

    language: str
    names: Names
    facts: dict[int, list[Fact]] = field(default_factory=dict)
    """Of each chunk, by its number."""
    sentences: int = 0
    """How many the document has."""
    frequency: Counter[str] = field(default_factory=Counter)
    """How often a term is an answer in the document, folded."""
    pools: dict[tuple[str, ...], dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    _meanings: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, chunks: Iterable[Chunk], language: str) -> DocumentContext:
        """Read all chunks of a document. `language` is that of the text, `fr` or `en`."""
        cut = {chunk.number: list(sentences(chunk.text)) for chunk in chunks}
        context = cls(language, Names(language))
        context.names.read(sentence.text for found in cut.values() for sentence in found)
        context.sentences = sum(map(len, cut.values()))
        for number, found in cut.items():
            context.facts[number] = list(context._read(found))
        return context

    def _read(self, found: Iterable[Sentence]) -> Iterable[Fact]:
        for sentence in found:
            said = definition(sentence, self.language, self.names) or doing(sentence, self.language, self.names)
            if said is not None:
                self._remember(said)
                self._meanings[folded(said.answer)] |= set(content_words(said.meaning, self.language))
                yield said
            if usable(sentence, self.language) and not (said is not None and said.is_entry):
                for fact in hidden_parts(sentence, self.language, self.names):
                    # Of a definition, a hidden word would be the kind of thing it is: nothing to be known by heart.
                    word = fact.kind is FactKind.TERM and said is not None and said.kind is FactKind.DEFINITION
                    if said is None or not (word or said.overlaps(fact)):
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
        taken = [folded(fact.answer)]
        said = f" {folded(fact.sentence.text)} "
        least = 2 if fact.kind is FactKind.TERM and not wider else 1
        chosen: list[str] = []
        for key in pool_keys(fact)[: 2 if wider else 1]:
            for form, written in sorted(self.pools[key].items(), key=lambda entry: _distance(entry[0], taken[0])):
                if len(chosen) == count:
                    return chosen
                if self.frequency[form] < least or form in said or any(_alike(form, other) for other in taken):
                    continue
                if len(written) > 2.5 * max(6, len(fact.answer)) or self._right_too(form, fact):
                    continue
                taken.append(form)
                chosen.append(_cased(written, fact))
        return chosen

    def _right_too(self, form: str, fact: Fact) -> bool:
        """The document says much the same of `form`: it would be a second right option."""
        mine = set(content_words(fact.meaning, self.language))
        return bool(mine) and len(mine & self._meanings.get(form, set())) >= _SAME * len(mine)


def pool_keys(fact: Fact) -> list[tuple[str, ...]]:
    """From the closest set of stand-ins to the widest."""
    form = folded(fact.answer)
    vowel = "vowel" if form[:1] in _VOWELS else "consonant"
    number = "plural" if fact.plural else "singular"
    match fact.kind:
        case FactKind.YEAR:
            return [("year",)]
        case FactKind.NUMBER:
            fraction = "decimal" if re.search(r"[.,]\d{1,2}$", form) else "whole"
            return [("number", fraction, fact.verb, str(len(form))), ("number", fraction, fact.verb)]
        case FactKind.NAME:
            return [("name", str(fact.name))] if fact.name in _KNOWN else []
        case FactKind.DEFINITION | FactKind.DOING if fact.name is NameKind.PERSON:
            return [("name", str(fact.name))]
        case FactKind.DEFINITION | FactKind.DOING:
            # Never across numbers: "the organelles that …" would give a plural key away.
            return [("subject", "person" if is_person(fact) else "thing", number)]
        case _:
            size = "word" if " " not in form else "phrase"
            return [
                ("term", fact.lead, vowel, number, size),
                ("term", _agreement(fact.lead), vowel, number, size),
            ]


def is_person(fact: Fact) -> bool:
    """Asked for with "who": a name, or what a person is by office, work or age."""
    words = folded(fact.answer).split()
    return fact.name is NameKind.PERSON or bool({words[0], words[-1]} & _PEOPLE)


def _alike(form: str, other: str) -> bool:
    """Forms of one word, or names that end alike: `Cornwallis` and `Lord Cornwallis`."""
    if form[0].isdigit():
        return form == other
    return form[:5] == other[:5] or form.rsplit(maxsplit=1)[-1] == other.rsplit(maxsplit=1)[-1]


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
    if fact.kind in (FactKind.DEFINITION, FactKind.DOING):
        return capitalised(written)
    if fact.kind is FactKind.TERM:
        return written[0].lower() + written[1:] if written[1:].islower() else written
    return written


def sentence_span(chunk: Chunk, sentence: Sentence) -> str:
    """The sentence as the document has it."""
    return chunk.text[sentence.start : sentence.end]


def capitalised(text: str) -> str:
    """With a capital, but where the case is part of the word, as in mRNA."""
    return text if text[1:2].isupper() else text[0].upper() + text[1:]
