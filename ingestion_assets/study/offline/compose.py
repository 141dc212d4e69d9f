"""Facts to cards and questions, in the words of the source."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from ingestion_assets.study.chunks import spread
from ingestion_assets.study.drafts import CardDraft, ChunkAnswer, QuestionDraft
from ingestion_assets.study.evidence import MAX_QUOTE, MIN_QUOTE
from ingestion_assets.study.model import CardKind, Chunk, Difficulty
from ingestion_assets.study.offline.context import DocumentContext, sentence_span
from ingestion_assets.study.offline.facts import Fact, FactKind
from ingestion_assets.study.text import folded

MAX_CLOZE: Final = 260
MAX_STEM: Final = 280
_RANK: Final = {
    FactKind.DEFINITION: 0,
    FactKind.YEAR: 1,
    FactKind.NAME: 2,
    FactKind.NUMBER: 3,
    FactKind.TERM: 4,
}
_DIFFICULTY: Final = {
    FactKind.DEFINITION: Difficulty.EASY,
    FactKind.YEAR: Difficulty.HARD,
    FactKind.NAME: Difficulty.MEDIUM,
    FactKind.NUMBER: Difficulty.HARD,
    FactKind.TERM: Difficulty.MEDIUM,
}
_VOWEL: Final = re.compile(r"^[aeiouéèêàâîôûyhœAEIOUÉÈÊÀÂÎÔÛYHŒ]")


def answer_offline(
    chunk: Chunk,
    context: DocumentContext,
    *,
    cards: int,
    questions: int,
    difficulty: Difficulty | None = None,
    again: bool = False,
) -> ChunkAnswer:
    """Up to `cards` cards and `questions` questions from the chunk's sentences.

    `again=True` is the second round for a chunk that gave nothing: rarer terms and farther options are allowed then.
    """
    facts = _by_turns(
        _ranked(context.facts.get(chunk.number, ()), context, difficulty, again=again), mixed=difficulty is None
    )
    made_cards: list[CardDraft] = []
    made_questions: list[QuestionDraft] = []
    used: defaultdict[int, int] = defaultdict(int)
    asked: set[tuple[int, str]] = set()
    for fact in facts:
        if len(made_cards) >= cards:
            break
        if used[fact.sentence.start] >= 2:
            continue
        card = _card(fact, chunk, context.language)
        if card is not None:
            made_cards.append(card)
            used[fact.sentence.start] += 1
            asked.add((fact.sentence.start, fact.answer))
    # What was not made a card comes first, so that a question asks something else where it can.
    fresh = [fact for fact in facts if (fact.sentence.start, fact.answer) not in asked]
    known = [fact for fact in facts if (fact.sentence.start, fact.answer) in asked]
    for fact in (*fresh, *known):
        if len(made_questions) >= questions:
            break
        if used[fact.sentence.start] >= 3:
            continue
        question = _question(fact, chunk, context, wider=again)
        if question is not None:
            made_questions.append(question)
            used[fact.sentence.start] += 1
    return ChunkAnswer(cards=tuple(made_cards), questions=tuple(made_questions))


def _ranked(
    facts: Iterable[Fact], context: DocumentContext, difficulty: Difficulty | None, *, again: bool
) -> list[Fact]:
    facts = list(facts)
    starts = sorted({fact.sentence.start for fact in facts})
    # Spread over the chunk, so that what is taken first does not stand in its first lines.
    place = {starts[at]: rank for rank, at in enumerate(spread(len(starts)))} if starts else {}

    def key(fact: Fact) -> tuple[int, int, int, int, int]:
        often = context.frequency[folded(fact.answer)]
        rare = int(fact.kind is FactKind.TERM and often < 2)
        off = int(difficulty is not None and _DIFFICULTY[fact.kind] is not difficulty)
        return rare, off, _RANK[fact.kind], place[fact.sentence.start], -min(often, 50)

    kept = [
        fact for fact in facts if again or fact.kind is not FactKind.TERM or context.frequency[folded(fact.answer)] > 1
    ]
    return sorted(kept, key=key)


def _by_turns(facts: list[Fact], *, mixed: bool) -> list[Fact]:
    """One fact of each sentence before the second of any; `mixed` takes the levels of difficulty in turn."""
    sentences: defaultdict[int, int] = defaultdict(int)
    levels: defaultdict[tuple[int, Difficulty], int] = defaultdict(int)
    placed = []
    for fact in facts:
        turn = sentences[fact.sentence.start]
        sentences[fact.sentence.start] += 1
        level = _DIFFICULTY[fact.kind]
        placed.append((turn, levels[turn, level] if mixed else 0, fact))
        levels[turn, level] += 1
    return [fact for *_, fact in sorted(placed, key=lambda entry: entry[:2])]


def _card(fact: Fact, chunk: Chunk, language: str) -> CardDraft | None:
    quote = sentence_span(chunk, fact.sentence)
    if not MIN_QUOTE <= len(folded(quote)) <= MAX_QUOTE:
        return None
    if fact.kind is FactKind.DEFINITION:
        return CardDraft(
            kind=CardKind.BASIC,
            front=_definition_front(fact, language, chunk.text),
            back=fact.meaning[0].upper() + fact.meaning[1:],
            quote=quote,
            difficulty=_DIFFICULTY[fact.kind],
        )
    text = fact.sentence.text
    front = f"{text[: fact.start]}{{{{c1::{fact.answer}}}}}{text[fact.start + len(fact.answer) :]}"
    if len(text) > MAX_CLOZE:
        return None
    return CardDraft(kind=CardKind.CLOZE, front=front, back=fact.answer, quote=quote, difficulty=_DIFFICULTY[fact.kind])


def _definition_front(fact: Fact, language: str, text: str) -> str:
    term = fact.answer
    if re.search(rf"(?<!\w){re.escape(_lowered(term))}(?!\w)", text):
        # Written small elsewhere: its capital was that of the sentence.
        term = _lowered(term)
    if language == "en":
        verb = "are" if fact.plural else "is"
        if fact.verb in ("means", "denotes", "describes", "designates", "refers to", "refer to"):
            return f"What does “{_lowered(term)}” mean?"
        lead = f"{fact.lead} " if fact.lead in ("a", "an", "the") else ""
        return f"What {verb} {lead}{term if not lead else _lowered(term)}?"
    lead = fact.lead.replace("’", "'")
    if fact.plural:
        return f"Que sont {lead + ' ' if lead in ('les', 'des') else ''}{_lowered(term)} ?"
    if lead in ("le", "la"):
        return f"Qu’est-ce que {lead} {_lowered(term)} ?"
    if lead.startswith("l'"):
        return f"Qu’est-ce que l’{_lowered(term)} ?"
    if lead in ("un", "une"):
        return f"Qu’est-ce qu’{lead} {_lowered(term)} ?"
    joint = "Qu’est-ce qu’" if _VOWEL.match(term) else "Qu’est-ce que "
    return f"{joint}« {term} » ?" if joint.endswith(" ") else f"Que signifie « {term} » ?"


def _lowered(term: str) -> str:
    """Without the capital that the start of a sentence gave it; acronyms and names of several capitals keep theirs."""
    return term[0].lower() + term[1:] if len(term) > 1 and term[1:].islower() else term


def _question(fact: Fact, chunk: Chunk, context: DocumentContext, *, wider: bool) -> QuestionDraft | None:
    quote = sentence_span(chunk, fact.sentence)
    if not MIN_QUOTE <= len(folded(quote)) <= MAX_QUOTE:
        return None
    wrong = context.distractors(
        fact, 3, wider=wider or fact.kind in (FactKind.DEFINITION, FactKind.NUMBER, FactKind.NAME)
    )
    if len(wrong) < 2:
        return None
    text = fact.sentence.text
    if fact.kind is FactKind.DEFINITION:
        meaning = fact.meaning
        if re.search(rf"(?<!\w){re.escape(folded(fact.answer))}", folded(meaning)):
            return None
        stem = (
            f"Which term is defined as follows: “{meaning}”?"
            if context.language == "en"
            else f"Quel terme est défini ainsi : « {meaning} » ?"
        )
        right = fact.answer[0].upper() + fact.answer[1:]
    else:
        stem = f"{text[: fact.start]}_____{text[fact.start + len(fact.answer) :]}"
        right = fact.answer
    if len(stem) > MAX_STEM:
        return None
    return QuestionDraft(
        stem=stem,
        options=(right, *wrong),
        key=0,
        explanation=text,
        quote=quote,
        difficulty=_DIFFICULTY[fact.kind],
    )
