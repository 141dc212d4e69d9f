"""Checks of one flashcard (F1 … F4, G1, G2, L1, I1)."""

from __future__ import annotations

import re
from typing import Final

from ingestion_assets.study.checks import shared
from ingestion_assets.study.checks.findings import Finding, Scope, Verdict, collected
from ingestion_assets.study.drafts import CardDraft
from ingestion_assets.study.model import CardKind, DropReason
from ingestion_assets.study.text import folded

FRONT: Final = (8, 200)
CLOZE_FRONT: Final = (8, 300)
"""A cloze is the source's own sentence: it may be longer than a question."""
BACK: Final = (1, 300)
TARGET_BACK: Final = 120
_SENTENCES: Final = re.compile(r"[.!?…](?=\s+[A-ZÀ-Þ])")
_BULLET: Final = re.compile(r"(?m)^\s*(?:[-•*–]|\d+[.)])\s+\S")
_SERIES: Final = re.compile(
    r"(?:[^,;.]{1,40}[,;]\s+){2,}(?:(?:and|or|et|ou|ainsi que)\s+)?[^,;.]{1,40}|"
    r"[^,;.]{1,40}[,;]\s+[^,;.]{1,40},?\s+(?:and|or|et|ou)\s+[^,;.]{1,40}"
)
_YES_NO: Final = re.compile(r"(?i)^(?:yes|no|true|false|oui|non|vrai|faux)\b[.!]?$")


def check_card(draft: CardDraft, scope: Scope) -> Verdict:
    """All checks of a card, in order."""
    evidence, missing = shared.find_evidence(draft.quote, scope)
    front = shared.plain(draft.front)
    findings = collected(
        [
            length(draft),
            missing,
            cloze(draft),
            same_sides(draft),
            leakage(draft, scope.language),
            no_list(draft),
            shared.self_contained(draft.front),
            shared.support(draft.back, evidence, scope) if evidence is not None else None,
            cloze_from_quote(draft) if evidence is not None else None,
            shared.no_instructions((draft.front, draft.back), scope),
            shared.right_language(f"{front} {draft.back if draft.kind is CardKind.BASIC else ''}", scope),
            long_back(draft),
            not_yes_no(draft),
            is_question(draft),
        ]
    )
    return Verdict(evidence, findings)


def length(draft: CardDraft) -> Finding | None:
    """F1: sides of a length that can be read at a glance, at most two sentences on the back."""
    least, most = CLOZE_FRONT if draft.kind is CardKind.CLOZE else FRONT
    front, back = draft.front.strip(), draft.back.strip()
    fits = least <= len(shared.plain(front)) <= most and BACK[0] <= len(back) <= BACK[1]
    return None if fits and len(_SENTENCES.findall(back)) < 2 else Finding("F1", DropReason.LENGTH)


def long_back(draft: CardDraft) -> Finding | None:
    """F1, soft: a back beyond the length that one fact needs."""
    return Finding("F1") if len(draft.back) > TARGET_BACK else None


def no_list(draft: CardDraft) -> Finding | None:
    """F1: no set of three or more things to be recalled at once."""
    # On one line: with several spaces after each comma the pattern would try every way to share them out.
    if len(_BULLET.findall(draft.back)) >= 3 or _SERIES.fullmatch(" ".join(draft.back.split()).rstrip(".")):
        return Finding("F1", DropReason.LIST_ON_BACK)
    return None


def leakage(draft: CardDraft, language: str) -> Finding | None:
    """F2: the front does not give the answer away. A cloze must not show its hidden part elsewhere in the sentence."""
    front = CLOZE_GAP.sub(" ", draft.front) if draft.kind is CardKind.CLOZE else draft.front
    return Finding("F2", DropReason.LEAKAGE) if shared.leaks(draft.back, front, language) else None


CLOZE_GAP: Final = shared.CLOZE


def same_sides(draft: CardDraft) -> Finding | None:
    """F4: front and back differ."""
    return Finding("F4", DropReason.SAME_SIDES) if folded(draft.front) == folded(draft.back) else None


def cloze(draft: CardDraft) -> Finding | None:
    """F4: a cloze has exactly one gap, which is the back, and words around it; a basic card has none."""
    gaps = shared.CLOZE.findall(draft.front)
    if draft.kind is CardKind.BASIC:
        return Finding("F4", DropReason.CLOZE) if "{{" in draft.front or "{{" in draft.back else None
    around = folded(shared.CLOZE.sub(" ", draft.front))
    good = (
        len(gaps) >= 1
        and {number for number, _ in gaps} == {"1"}
        and {folded(hidden) for _, hidden in gaps} == {folded(draft.back)}
        and len(around.split()) >= 3
        and "{{" not in around
    )
    return None if good else Finding("F4", DropReason.CLOZE)


def cloze_from_quote(draft: CardDraft) -> Finding | None:
    """G2: what a cloze hides stands in its quote."""
    if draft.kind is not CardKind.CLOZE:
        return None
    hidden = rf"(?<!\w){re.escape(folded(draft.back))}(?!\w)"
    return None if re.search(hidden, folded(draft.quote)) else Finding("G2", DropReason.ANSWER_NOT_IN_QUOTE)


def not_yes_no(draft: CardDraft) -> Finding | None:
    """F4, soft: an answer that is guessed half of the time."""
    return Finding("F4") if _YES_NO.match(draft.back.strip()) else None


def is_question(draft: CardDraft) -> Finding | None:
    """F4, soft: a basic front asks."""
    if draft.kind is CardKind.CLOZE or draft.front.rstrip(" »”\"'’)").endswith(("?", ":", "…", "___")):
        return None
    return Finding("F4")
