"""Checks of one multiple-choice question (Q1 … Q10, F3, G1, G2, L1, I1), after the guidelines of Haladyna et al. 2002."""

from __future__ import annotations

import re
from statistics import median
from typing import Final

from ingestion_assets.study.checks import shared
from ingestion_assets.study.checks.findings import Finding, Scope, Verdict, collected
from ingestion_assets.study.drafts import QuestionDraft
from ingestion_assets.study.model import DropReason
from ingestion_assets.study.text import content_words, fold, folded, numbers, squeeze

OPTIONS: Final = (3, 5)
STEM: Final = (15, 300)
LONGEST_OPTION: Final = 150
_ALL_NONE: Final = re.compile(
    r"^(?:all|none|both|any|neither)(?: of)?(?: the| these)?(?: (?:above|below|options?|answers?|choices?|others?|these|"
    r"of them|statements?|previous|following))+(?: (?:answers?|options?|choices?))?(?: (?:is|are) (?:correct|true|right|"
    r"false|wrong))?$"
    r"|^(?:all|none|both|neither) of (?:them|these|those|the above)$"
    r"|^(?:both )?\(?[a-e]\)? (?:and|or|&|et|ou) \(?[a-e]\)?(?: only| seulement| uniquement)?$"
    r"|^(?:(?:both )?(?:answers?|options?|choices?|réponses?) )?\(?[a-e1-5]\)?,? (?:and|et|&) \(?[a-e1-5]\)?$"
    r"|^toutes (?:ces|les) (?:réponses|options|propositions)(?: (?:ci-dessus|précédentes|sont (?:correctes|vraies|exactes|"
    r"bonnes)))*$"
    r"|^(?:toutes|tous)(?: les réponses)? (?:ci-dessus|ce qui précède)$"
    r"|^tout ce qui précède$|^rien de (?:tout )?(?:cela|ce qui précède)$"
    r"|^aucune?(?: de ces| des)?(?: (?:réponses?|options?|propositions?|choix|autres))?(?: (?:ci-dessus|précédentes?|"
    r"n'est (?:correcte|vraie|exacte|bonne)))*$"
    r"|^(?:les deux|ni l'une? ni l'autre)(?: réponses)?$",
    re.IGNORECASE,
)
_NEGATIVE: Final = re.compile(
    r"\b(?:not|except|isn't|aren't|doesn't|don't|wasn't|never|incorrect|false)\b"
    r"|\b(?:sauf|excepté|hormis|faux|fausse|incorrecte?)\b|\bn(?:e |')\S+(?: \S+){0,2} (?:pas|jamais|aucune?)\b",
    re.IGNORECASE,
)
_SHOUTED: Final = re.compile(
    r"\b(?:NOT|EXCEPT|NEVER|FALSE|INCORRECT|SAUF|EXCEPTÉ|PAS|JAMAIS|FAUX|FAUSSE|INCORRECTE?)\b"
)
_ABSOLUTE: Final = re.compile(
    r"\b(?:always|never|only|completely|absolutely|all|none|every|usually|often|sometimes|generally|toujours|jamais|"
    r"uniquement|absolument|tous|toutes|aucune?|souvent|parfois|généralement|rarement)\b",
    re.IGNORECASE,
)
_LAST_ARTICLE: Final = re.compile(r"\b(a|an|un|une|le|la|les|des)\s*(?:_+|…|:)?\s*\??$", re.IGNORECASE)
_BLANK: Final = re.compile(r"_{3,}|…|\.{3}")
CONSPICUOUS_RATIO: Final = 1.5
CONSPICUOUS_CHARS: Final = 20


def check_question(draft: QuestionDraft, scope: Scope) -> Verdict:
    """All checks of a question, in order."""
    evidence, missing = shared.find_evidence(draft.quote, scope)
    findings = collected(
        [
            option_count(draft),
            key_exists(draft),
            distinct_options(draft),
            no_all_or_none(draft),
            sizes(draft),
            missing,
            shared.self_contained(f"{draft.stem}\n{draft.explanation}") if _points(draft) else None,
            leakage(draft, scope.language),
            shared.support(draft.answer, evidence, scope) if evidence is not None else None,
            shared.no_instructions((draft.stem, *draft.options, draft.explanation), scope),
            shared.right_language(squeeze(_BLANK.sub(" ", f"{draft.stem} {draft.answer}")), scope),
            plain_key(draft),
            marked_negative(draft),
            no_absolutes(draft),
            no_clang(draft, scope.language),
            no_grammar_cue(draft),
            asks(draft),
            even_options(draft),
        ]
    )
    return Verdict(evidence, findings)


def _points(draft: QuestionDraft) -> bool:
    return shared.self_contained(draft.stem) is not None


def option_count(draft: QuestionDraft) -> Finding | None:
    """Q1: three to five options."""
    good = OPTIONS[0] <= len(draft.options) <= OPTIONS[1] and all(option.strip() for option in draft.options)
    return None if good else Finding("Q1", DropReason.OPTION_COUNT)


def key_exists(draft: QuestionDraft) -> Finding | None:
    """Q1: the key names an option."""
    return None if 0 <= draft.key < len(draft.options) else Finding("Q1", DropReason.KEY_MISSING)


def distinct_options(draft: QuestionDraft) -> Finding | None:
    """Q2: options differ beyond case, punctuation and the spelling of numbers. Accents count."""
    forms = [_form(option) for option in draft.options]
    return None if len(set(forms)) == len(forms) else Finding("Q2", DropReason.DUPLICATE_OPTIONS)


def _form(option: str) -> tuple[str, ...]:
    values = tuple(numbers(option))
    bare = fold(option).alphanumeric().text
    return values if values and bare.isdigit() else (bare, *values)


def no_all_or_none(draft: QuestionDraft) -> Finding | None:
    """Q3: every option answers by itself."""
    found = any(_ALL_NONE.match(option.strip(" .!").replace("’", "'")) for option in draft.options)
    return Finding("Q3", DropReason.ALL_OR_NONE) if found else None


def plain_key(draft: QuestionDraft) -> Finding | None:
    """Q4: the key does not stand out by its length."""
    others = [len(option) for place, option in enumerate(draft.options) if place != draft.key]
    if not others or not draft.answer:
        return None
    longest = len(draft.answer) > max(others) + CONSPICUOUS_CHARS
    return Finding("Q4") if longest or len(draft.answer) > CONSPICUOUS_RATIO * max(median(others), 8) else None


def marked_negative(draft: QuestionDraft) -> Finding | None:
    """Q5: a negative stem says so in capitals."""
    asked = draft.stem if "___" not in draft.stem else ""
    return Finding("Q5") if _NEGATIVE.search(asked) and not _SHOUTED.search(asked) else None


def no_absolutes(draft: QuestionDraft) -> Finding | None:
    """Q6: absolute and vague words in some options but not in the stem are a clue."""
    if _ABSOLUTE.search(draft.stem):
        return None
    marked = sum(1 for option in draft.options if _ABSOLUTE.search(option))
    return Finding("Q6") if 0 < marked < len(draft.options) else None


def no_clang(draft: QuestionDraft, language: str) -> Finding | None:
    """Q7: no word of the stem comes back in the key alone."""
    stem = set(content_words(draft.stem, language))
    others = {
        word
        for place, option in enumerate(draft.options)
        if place != draft.key
        for word in content_words(option, language)
    }
    echoed = {word for word in content_words(draft.answer, language) if len(word) >= 5} & stem
    return Finding("Q7") if echoed - others else None


def no_grammar_cue(draft: QuestionDraft) -> Finding | None:
    """Q8: a stem that ends with an article fits more than the key."""
    match = _LAST_ARTICLE.search(draft.stem.strip())
    if match is None:
        return None
    agreeing = [place for place, option in enumerate(draft.options) if _agrees(match.group(1).lower(), option)]
    return Finding("Q8") if agreeing == [draft.key] else None


def _agrees(article: str, option: str) -> bool:
    word = folded(option)
    vowel = bool(re.match(r"[aeiouéèêàâîôûyh]", word))
    plural = word.split()[0].endswith(("s", "x")) if word.split() else False
    match article:
        case "a":
            return not re.match(r"[aeiou]", word)
        case "an":
            return bool(re.match(r"[aeiouh]", word))
        case "les" | "des":
            return plural
        case "le" | "la":
            return not vowel and not plural
        case _:
            return not plural


def sizes(draft: QuestionDraft) -> Finding | None:
    """Q10: a stem and options of a length that can be read."""
    good = STEM[0] <= len(draft.stem) <= STEM[1] and all(len(option) <= LONGEST_OPTION for option in draft.options)
    return None if good else Finding("Q10", DropReason.LENGTH)


def asks(draft: QuestionDraft) -> Finding | None:
    """Q10, soft: the stem is a question or has a gap."""
    stem = draft.stem.rstrip(" »”\"'’)")
    return None if stem.endswith(("?", ":")) or _BLANK.search(stem) else Finding("Q10")


def even_options(draft: QuestionDraft) -> Finding | None:
    """Q10, soft: no option is three times as long as another; a few characters do not count."""
    lengths = [max(len(option), 8) for option in draft.options]
    return Finding("Q10") if lengths and max(lengths) > 3 * min(lengths) else None


def leakage(draft: QuestionDraft, language: str) -> Finding | None:
    """F2: the stem does not hold the answer."""
    if not draft.answer:
        return None
    return Finding("F2", DropReason.LEAKAGE) if shared.leaks(draft.answer, draft.stem, language) else None
