"""Checks that cards and questions share: evidence, support, self-containment, language, instructions, leakage."""

from __future__ import annotations

import re
from typing import Final

from ingestion_assets.study.checks.findings import Finding, Scope
from ingestion_assets.study.evidence import MAX_QUOTE, MIN_QUOTE, unsupported
from ingestion_assets.study.language import item_language
from ingestion_assets.study.model import DropReason, Evidence
from ingestion_assets.study.text import content_words, folded

CLOZE: Final = re.compile(r"\{\{c(\d+)::((?:(?!\}\}|::).)+)(?:::[^}]*)?\}\}")
CANARY: Final = "STUDY-CANARY-7f3a91"
"""Stands in the system prompt and nowhere else: an item that holds it was written by somebody who reads prompts out."""

_POINTING: Final = re.compile(
    r"\b(?:"
    r"(?:this|the) (?:document|text|chapter|passage|author|article|excerpt|paper"
    r"|lesson)(?: \w+)? (?:says?|states?|mentions?|"
    r"describes?|explains?|discusses?|shows?|is about)"
    r"|(?:in|of|from|by|per|to) (?:this|the (?:above|following|previous|given|provided"
    r"|present)) (?:document|text|chapter|"
    r"passage|article|excerpt|paper|section|lesson|book|figure|table|page|course)"
    r"|according to (?:the|this) (?:document|text|chapter|passage|author|article|excerpt|paper|source|section|lesson)"
    r"|(?:mentioned|described|shown|listed|given|discussed|seen|explained|stated) (?:above|below"
    r"|earlier|previously|here)"
    r"|as (?:we have )?(?:seen|mentioned|described|shown|noted) (?:above|below|earlier|before|in)"
    r"|(?:see|in|of) (?:fig(?:ure|\.)|table|chapter|section|appendix|page) \(?[\divx]+"
    r"|(?:figure|fig\.|table|equation|exhibit) \d"
    r"|the author (?:says?|thinks?|argues?|states?|claims?)"
    r"|the (?:above|following|preceding) (?:figure|table|text|list|example|passage|paragraph|section)"
    r"|(?:selon|d'après|dans|de|à) (?:le|la|l'|ce|cet|cette)\s?(?:présente?s? )?(?:document|texte"
    r"|chapitre|passage|auteure?|"
    r"article|extrait|leçon|section ci|cours ci)"
    r"|(?:ce|cet|cette) (?:document|texte|chapitre|passage|article|extrait|leçon|ouvrage|cours)"
    r"|l'auteure? (?:dit|pense|affirme|explique|décrit|montre)"
    r"|ci-(?:dessus|dessous|après|avant|contre|haut|bas)"
    r"|(?:mentionnée?s?|décrite?s?|cités?|vue?s?|présentée?s?) (?:plus haut|plus bas|précédemment|auparavant)"
    r"|(?:plus haut|plus bas) dans"
    r"|(?:figure|fig\.|tableau|schéma|équation|annexe) \d"
    r"|(?:voir|cf\.?|dans) (?:la |le |l')?(?:figure|tableau|chapitre|section|annexe|page) \(?[\divx]+"
    r")\b",
    re.IGNORECASE,
)
_INSTRUCTION: Final = re.compile(
    r"(?:ignore|disregard|forget|override)(?: all| any| the)* (?:previous|prior|above|earlier"
    r"|preceding|other) (?:instructions?|"
    r"prompts?|rules?|messages?|text)"
    r"|(?:ignore[zr]?|oublie[zr]?|néglige[zr]?)(?: (?:toutes?|tous|les|ces|vos"
    r"|tes))* (?:instructions?|consignes?|règles?)"
    r"|(?:system|developer) (?:prompt|message|instruction)|(?:prompt|message|invite) (?:du )?système"
    r"|you are (?:now )?(?:an?|the) (?:\w+ )?(?:ai\b|assistant|language model|chatbot|llm)"
    r"|(?:tu es|vous êtes)(?: maintenant)? (?:une?|le|la) (?:\w+ )?(?:ia\b|assistante?"
    r"|modèle de langage|agent conversationnel)"
    r"|as an ai (?:language )?model|en tant qu['’]ia\b"
    r"|(?:reveal|print|output|repeat|répète[zr]?|révèle[zr]?|affiche[zr]?) (?:your|the|ton|tes|vos|votre|le|les) "
    r"(?:system |hidden )?(?:prompt|instructions?|consignes?)"
    r"|(?:respond|reply|answer|réponds?|répondez) (?:only |uniquement |seulement )?(?:with|avec"
    r"|par) (?:the word|le mot|json)"
    r"|<\|?(?:im_start|im_end|system|endoftext)\|?>|\[/?INST\]|###\s*(?:instruction|system)",
    re.IGNORECASE,
)
_URL: Final = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]+", re.IGNORECASE)


def plain(front: str) -> str:
    """A front without its cloze marks: the sentence as it stands in the source."""
    return CLOZE.sub(lambda match: match.group(2), front)


def find_evidence(quote: str, scope: Scope) -> tuple[Evidence | None, Finding | None]:
    """G1: the quote has a useful length and is really in the document."""
    if not MIN_QUOTE <= len(folded(quote)) <= MAX_QUOTE:
        return None, Finding("G1", DropReason.QUOTE_LENGTH)
    evidence = scope.source.find(quote, scope.chunk)
    return (None, Finding("G1", DropReason.QUOTE_NOT_FOUND)) if evidence is None else (evidence, None)


def support(answer: str, evidence: Evidence, scope: Scope) -> Finding | None:
    """G2: the answer's numbers, dates and names stand in the quote or a sentence beside it."""
    if unsupported(answer, scope.source.window(evidence)):
        return Finding("G2", DropReason.ANSWER_NOT_IN_QUOTE)
    return None


def self_contained(text: str) -> Finding | None:
    """F3: nothing that only makes sense with the page in hand."""
    return Finding("F3", DropReason.NOT_SELF_CONTAINED) if _POINTING.search(text.replace("’", "'")) else None


def right_language(text: str, scope: Scope) -> Finding | None:
    """L1: in the wanted language, where there are enough words to tell."""
    found = item_language(text)
    return Finding("L1", DropReason.LANGUAGE) if found is not None and found != scope.language else None


def no_instructions(texts: tuple[str, ...], scope: Scope) -> Finding | None:
    """I1: no prompt fragment, no canary, no address that the source does not hold."""
    joined = "\n".join(texts)
    if CANARY in joined or is_instruction(joined):
        return Finding("I1", DropReason.INSTRUCTION)
    for address in _URL.findall(joined):
        if address.rstrip(".,;:") not in scope.source.document.text:
            return Finding("I1", DropReason.INSTRUCTION)
    return None


def is_instruction(text: str) -> bool:
    """Reads like an order to a model rather than like subject matter."""
    return _INSTRUCTION.search(text.replace("’", "'")) is not None


def leaks(answer: str, front: str, language: str) -> bool:
    """F2: all content words of the answer stand in the front already, as whole words."""
    wanted = content_words(answer, language) or folded(answer).split()
    given = set(content_words(front, language)) | set(folded(front).split())
    return bool(wanted) and all(word in given for word in wanted)
