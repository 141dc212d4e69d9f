"""Facts to cards and questions, in the words of the source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from ingestion_assets.study.checks.shared import leaks
from ingestion_assets.study.chunks import spread
from ingestion_assets.study.drafts import CardDraft, ChunkAnswer, QuestionDraft
from ingestion_assets.study.evidence import MAX_QUOTE, MIN_QUOTE
from ingestion_assets.study.model import CardKind, Chunk, Difficulty
from ingestion_assets.study.offline.context import DocumentContext, capitalised, sentence_span
from ingestion_assets.study.offline.facts import Fact, FactKind
from ingestion_assets.study.offline.fronts import definition_front, doing_front
from ingestion_assets.study.offline.names import NameKind
from ingestion_assets.study.text import content_words, folded

MAX_CLOZE: Final = 260
MAX_STEM: Final = 280
_RANK: Final = {
    FactKind.DEFINITION: 0,
    FactKind.DOING: 1,
    FactKind.YEAR: 2,
    FactKind.NAME: 3,
    FactKind.NUMBER: 4,
    FactKind.TERM: 5,
}
_DIFFICULTY: Final = {
    FactKind.DEFINITION: Difficulty.EASY,
    FactKind.DOING: Difficulty.MEDIUM,
    FactKind.YEAR: Difficulty.HARD,
    FactKind.NAME: Difficulty.MEDIUM,
    FactKind.NUMBER: Difficulty.HARD,
    FactKind.TERM: Difficulty.MEDIUM,
}
MAX_FRONT: Final = 200


def answer_offline(
    chunk: Chunk,
    context: DocumentContext,
    *,
    cards: int,
    questions: int,
    difficulty: Difficulty | None = None,
    fill: bool = False,
    again: bool = False,
) -> ChunkAnswer:
    """Up to `cards` cards and `questions` questions from the chunk's sentences.

    Doubtful ones are made only to `fill` a number that a person asked for, or for a chunk that gave nothing else
    (`again=True`, the second round): fewer good items are better.
    """
    ranked = _ranked(context.facts.get(chunk.number, ()), context, difficulty, again=again)
    mixed = difficulty is None
    # What leans on its neighbours, or is said once only, comes after all the rest.
    facts = _by_turns([fact for fact in ranked if not _doubtful(fact, context)], mixed=mixed)
    if fill or again:
        # What leans on its neighbours is used for a number that a person asked for only.
        rest = [fact for fact in ranked if _doubtful(fact, context) and (fill or not fact.leans)]
        facts += _by_turns(rest, mixed=mixed)
    # One card a sentence reads better than two.
    most = 2 if fill else 1
    made_cards: list[CardDraft] = []
    made_questions: list[QuestionDraft] = []
    used: defaultdict[int, int] = defaultdict(int)
    asked: set[tuple[int, str]] = set()
    for fact in facts:
        if len(made_cards) >= cards:
            break
        if used[fact.sentence.start] >= most:
            continue
        card = _card(fact, chunk, context)
        if card is not None:
            made_cards.append(card)
            used[fact.sentence.start] += 1
            asked.add((fact.sentence.start, fact.answer))
    # What was not made a card comes first, so that a question asks something else where it can.
    fresh = [fact for fact in facts if (fact.sentence.start, fact.answer) not in asked]
    known = [fact for fact in facts if (fact.sentence.start, fact.answer) in asked]
    # A gap for any word is the weakest of questions.
    for fact in sorted((*fresh, *known), key=lambda fact: fact.kind is FactKind.TERM or _doubtful(fact, context)):
        if len(made_questions) >= questions:
            break
        if used[fact.sentence.start] > most:
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
        rare = int(_doubtful(fact, context))
        off = int(difficulty is not None and _DIFFICULTY[fact.kind] is not difficulty)
        return rare, off, _RANK[fact.kind], place[fact.sentence.start], -min(often, 5)

    kept = [
        fact for fact in facts if again or fact.kind is not FactKind.TERM or context.frequency[folded(fact.answer)] > 1
    ]
    return sorted(kept, key=key)


def _doubtful(fact: Fact, context: DocumentContext) -> bool:
    often = context.frequency[folded(fact.answer)]
    # Said once it may be a word by the way; said everywhere it is no answer to anything in particular.
    common = often > max(6, context.sentences // 25)
    return (
        fact.leans
        or (fact.kind is FactKind.TERM and (often < 2 or common))
        or (fact.kind is FactKind.NAME and fact.name is NameKind.OTHER)
    )


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


def _basic(front: str, back: str, quote: str, fact: Fact, language: str) -> CardDraft | None:
    if len(front) > MAX_FRONT or leaks(back, front, language):
        return None
    return CardDraft(kind=CardKind.BASIC, front=front, back=back, quote=quote, difficulty=_DIFFICULTY[fact.kind])


def _subject(fact: Fact) -> str:
    """The subject as the sentence has it, with its article."""
    if not fact.lead:
        return capitalised(fact.answer)
    return fact.sentence.text[: fact.start + len(fact.answer)]


def _card(fact: Fact, chunk: Chunk, context: DocumentContext) -> CardDraft | None:
    quote = sentence_span(chunk, fact.sentence)
    if not MIN_QUOTE <= len(folded(quote)) <= MAX_QUOTE:
        return None
    if fact.kind is FactKind.DEFINITION:
        front, back = definition_front(fact, context), capitalised(fact.meaning)
        return _basic(front, back, quote, fact, context.language)
    if fact.kind is FactKind.DOING:
        return _basic(doing_front(fact, context.language), _subject(fact), quote, fact, context.language)
    text = fact.sentence.text
    front = f"{text[: fact.start]}{{{{c1::{fact.answer}}}}}{text[fact.start + len(fact.answer) :]}"
    if len(text) > MAX_CLOZE:
        return None
    return CardDraft(kind=CardKind.CLOZE, front=front, back=fact.answer, quote=quote, difficulty=_DIFFICULTY[fact.kind])


def _clangs(answer: str, stem: str, language: str) -> bool:
    """A word of the answer stands in the stem."""
    return any(len(word) >= 5 for word in set(content_words(answer, language)) & set(content_words(stem, language)))


def _question(fact: Fact, chunk: Chunk, context: DocumentContext, *, wider: bool) -> QuestionDraft | None:
    quote = sentence_span(chunk, fact.sentence)
    if not MIN_QUOTE <= len(folded(quote)) <= MAX_QUOTE:
        return None
    wrong = context.distractors(fact, 3, wider=wider or fact.kind is FactKind.NUMBER)
    if len(wrong) < 2:
        return None
    text = fact.sentence.text
    if fact.kind is FactKind.DOING:
        stem = doing_front(fact, context.language)
        right = capitalised(fact.answer)
        if leaks(right, stem, context.language) or _clangs(right, fact.meaning, context.language):
            return None
    elif fact.kind is FactKind.DEFINITION:
        meaning = fact.meaning
        if fact.name is NameKind.PERSON:
            return None
        if _clangs(fact.answer, meaning, context.language) or leaks(fact.answer, meaning, context.language):
            return None
        stem = (
            f"Which term is defined as follows: “{meaning}”?"
            if context.language == "en"
            else f"Quel terme est défini ainsi : « {meaning} » ?"
        )
        right = capitalised(fact.answer)
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
