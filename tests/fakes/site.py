"""A fake of a web site whose pages carry schema.org data: listings, sitemaps and event pages. Written for these tests."""

from __future__ import annotations

import gzip
import json
import random
from datetime import date, timedelta
from typing import Any, ClassVar

from tests.fakes._server import Answer, FakeService, FaultPlan, Request, Truth, VirtualClock

FIRST_DAY = date(2026, 11, 16)
_PER_LISTING = 20
_FILLER = "<p>Un paragraphe comme il y en a sur toutes les pages, pour que celle-ci ait une taille de page.</p>" * 45


class FakeSite(FakeService):
    """`events` event pages, reachable from `/agenda` page by page and from `/sitemap.xml`."""

    name: ClassVar[str] = "lavitrine"

    def __init__(
        self,
        *,
        events: int = 60,
        bad: int = 3,
        start: str = "/agenda",
        faults: FaultPlan | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        """`start`: path of the page that the environment names."""
        super().__init__(faults=faults, clock=clock)
        self.events = events
        self.bad = bad
        self.start_path = start
        self.gone: set[int] = set()
        self.broken: set[int] = set()
        self.refused: dict[int, int] = {}
        """Status by number of the page."""

    def environment(self) -> dict[str, str]:
        return {"LAVITRINE_PAGE_URLS": f"{self.origin}{self.start_path}"}

    def truth(self, pass_number: int) -> Truth:
        if pass_number == 1:
            return Truth(created=self.events, errors=self.bad)
        changed = self.events // 10
        return Truth(created=self.events // 50, updated=changed, skipped=self.events - changed, errors=self.bad)

    def numbers(self) -> list[int]:
        count = self.events + (self.events // 50 if self.current_pass > 1 else 0)
        return [*range(count), *range(900_000, 900_000 + self.bad)]

    def url(self, number: int) -> str:
        return f"{self.origin}/evenements/soiree-{number}"

    def node(self, number: int) -> dict[str, Any]:
        """The event of one page as schema.org."""
        draw = random.Random(number)
        day = FIRST_DAY + timedelta(days=draw.randrange(84))
        node: dict[str, Any] = {
            "@type": draw.choice(("Event", "MusicEvent", ["Event", "TheaterEvent"])),
            "@id": f"{self.url(number)}#event",
            "name": f"Soirée {number}",
            "url": self.url(number),
            "startDate": f"{day}T20:00:00-05:00",
            "location": {"@id": "#lieu"},
            "offers": [
                {"@type": "Offer", "price": "12,50", "priceCurrency": "CAD", "validFrom": f"pass {self.current_pass}"}
            ],
            "description": f"<p>Une soirée, numéro {number}.</p>",
        }
        if number >= 900_000:
            node["startDate"] = ("bientôt", "", None)[number % 3]
        elif self.current_pass > 1:
            if number < self.events // 10:
                node["name"] += " (complet)"
            node = dict(reversed(node.items()))
        return node

    def answer(self, request: Request) -> Answer:
        path = request.path
        if path == "/agenda":
            return _html(self._listing(int(request.query.get("page", "1"))))
        if path == "/sitemap.xml":
            maps = (f"{self.origin}/sitemap-evenements.xml.gz", f"{self.origin}/sitemap-pages.xml")
            found = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in maps)
            return _xml(f"<sitemapindex>{found}</sitemapindex>".encode())
        if path == "/sitemap-evenements.xml.gz":
            found = "".join(f"<url><loc>\n {self.url(number)} </loc></url>" for number in self.numbers())
            return _xml(_in_two_members(f'<?xml version="1.0"?><urlset>{found}</urlset>'.encode()))
        if path == "/sitemap-pages.xml":
            return _xml(f"<urlset><url><loc>{self.origin}/contact</loc></url></urlset>".encode())
        if path.startswith("/evenements/soiree-"):
            number = int(path.rpartition("-")[2])
            if number in self.broken:
                return Answer(status=500, body=b"<h1>oops</h1>", content_type="text/html")
            if number in self.refused:
                return Answer(status=self.refused[number], body=b"<h1>no</h1>", content_type="text/html")
            if number in self.numbers() and number not in self.gone:
                return _html(self._event_page(number))
        if path == "/contact":
            return _html(f"<html><body>{_FILLER}<a href='/agenda'>Agenda</a></body></html>")
        return Answer(status=404, body=b"<h1>404</h1>", content_type="text/html")

    def _listing(self, page: int) -> str:
        numbers = self.numbers()
        shown = numbers[(page - 1) * _PER_LISTING : page * _PER_LISTING]
        items = [
            {"@type": "ListItem", "position": n, "url": self.url(number)} for n, number in enumerate(shown[::2], 1)
        ]
        data = {"@context": "https://schema.org", "@type": "ItemList", "itemListElement": items}
        # Half of the events are told in the listing as well, in short.
        short = [
            {"@type": "Event", "@id": f"{self.url(n)}#event", "url": self.url(n), "name": f"Soirée {n}"}
            for n in shown[1::2]
        ]
        links = "".join(f'<a href="/evenements/soiree-{number}?utm_source=agenda#top">x</a>' for number in shown[1::2])
        links += (
            '<a href="https://elsewhere.example/evenements/loin-1">x</a><a href="mailto:x@example.org">m</a><a>n</a>'
        )
        more = f'<a rel="next" href="/agenda?page={page + 1}">suite</a>' if page * _PER_LISTING < len(numbers) else ""
        return f"<html><head>{_script(data)}{_script(short)}</head><body>{_FILLER}{links}{more}</body></html>"

    def _event_page(self, number: int) -> str:
        place = {"@type": "Place", "@id": "#lieu", "name": "Salle", "address": {"addressLocality": "Montréal"}}
        graph = {"@context": "https://schema.org", "@graph": [{"@type": "WebPage"}, self.node(number), place]}
        # Theme and plug-in both describe the event; the theme with a comment that JSON does not allow.
        twice = _script(graph) + _script("/* theme */" + json.dumps(graph))
        return (
            f"<!DOCTYPE html><html><head>{twice}</head><body>{_FILLER}<a href='/evenements/autre'>x</a></body></html>"
        )


def _in_two_members(body: bytes) -> bytes:
    """A gzip file made of two, as a server writes that appends to it (RFC 1952, section 2.2)."""
    half = len(body) // 2
    return gzip.compress(body[:half]) + gzip.compress(body[half:])


def _script(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f'<script type="application/ld+json">{text}</script>'


def _html(page: str) -> Answer:
    return Answer(body=page.encode(), content_type="text/html; charset=utf-8")


def _xml(body: bytes) -> Answer:
    return Answer(body=body, content_type="application/xml")
