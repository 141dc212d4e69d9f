"""Events by way of pages: listings, sitemaps and event pages of a site, over HTTP."""

import dataclasses
import gzip
import json
import re
from datetime import date

import pytest

from ingestion_assets.events.model import FetchWindow
from ingestion_assets.events.sources.jsonld import base_of
from ingestion_assets.events.sources.lavitrine import LaVitrineSource
from resources.errors import PermanentError, TransientError
from tests.fakes._server import Answer, FaultPlan, Truth
from tests.fakes.fetching import Fetched, count, fetch_from
from tests.fakes.site import FakeSite

VOLATILE = LaVitrineSource.volatile_paths
OTHER_EVENT = "/evenements/soiree-5"
WEEK = FetchWindow(date(2026, 11, 23), date(2026, 11, 30), "America/Toronto")


@pytest.mark.parametrize("start", ["/agenda", "/sitemap.xml"])
def test_every_event_page_is_found_from_a_listing_and_from_a_sitemap(start):
    with FakeSite(events=60, bad=3, start=start) as service:
        found = fetch_from(service)
        event_pages = [line.request.path for line in service.requests if "/soiree-" in line.request.path]
        assert found.by_id[service.url(7) + "#event"].venue.name == "Salle"
    assert len(found.by_id) == len(found.events) == 60
    assert len(found.rejected) == 3
    assert len(event_pages) == len(set(event_pages)) == 63
    assert not found.incomplete


@pytest.mark.parametrize(
    "named", [lambda url: url, lambda url: {"@id": url}, lambda url: {"@type": "Thing", "url": url}]
)
def test_an_item_of_a_list_names_its_page_in_several_ways(named):
    class Listing(FakeSite):
        def answer(self, request):
            if request.path != "/agenda":
                return super().answer(request)
            items = [{"@type": "ListItem", "item": named(self.url(number))} for number in range(20)]
            page = json.dumps({"@context": "https://schema.org", "@type": "ItemList", "itemListElement": items})
            body = f'<html><script type="application/ld+json">{page}</script></html>'
            return Answer(body=body.encode(), content_type="text/html")

    with Listing(events=20, bad=0) as service:
        assert len(fetch_from(service).by_id) == 20


@pytest.mark.parametrize("start", ["/agenda", "/sitemap.xml"])
def test_events_outside_the_window_are_handed_on_because_they_may_have_been_moved(start):
    with FakeSite(events=250, bad=0, start=start) as service:
        whole = fetch_from(service)
        found = fetch_from(service, window=WEEK)
        inside = {key for key, event in whole.by_id.items() if event.start.date in WEEK}
        assert 0 < len(inside) < 100
        assert found.by_id == {key: whole.by_id[key] for key in inside}
        assert {**found.by_id, **found.handed_on} == whole.by_id
        assert found.outside == 250 - len(inside)
        assert found.pages == 3
        assert not found.incomplete


@pytest.mark.parametrize(
    ("start", "place"),
    [
        ("/agenda", "/agenda"),
        *((start, place) for start in ("/agenda", "/sitemap.xml") for place in ("/", "/evenements/", OTHER_EVENT)),
    ],
)
def test_an_event_page_that_leads_elsewhere_is_not_read_as_what_it_leads_to(start, place):
    class Redirecting(FakeSite):
        def answer(self, request):
            if request.path == "/evenements/soiree-4":
                return Answer(status=302, headers={"Location": place})
            listing = request.path in ("/", "/evenements/")
            return super().answer(dataclasses.replace(request, path="/agenda") if listing else request)

    with FakeSite(events=40, bad=0, start=start) as service:
        before = len(fetch_from(service).events)
    with Redirecting(events=40, bad=0, start=start) as service:
        found = fetch_from(service)
        assert set(found.by_id) == {f"{service.url(number)}#event" for number in range(40) if number != 4}
    assert len(found.events) == before - 1
    assert not found.rejected
    assert not found.incomplete
    assert ("page_gone" in found.warnings) == (place != OTHER_EVENT)


@pytest.mark.parametrize(
    ("written", "moved"), [("/evenements/{}", "/programme/{}"), ("/evenements/{}/", "/evenements/{}")]
)
def test_an_event_page_that_has_moved_is_read_where_it_is(written, moved):
    class Moved(FakeSite):
        def answer(self, request):
            name = request.path.rstrip("/").rpartition("/")[2]
            if request.path == written.format(name):
                return Answer(status=301, headers={"Location": moved.format(name)})
            if request.path == moved.format(name):
                request = dataclasses.replace(request, path=f"/evenements/{name}")
            answer = super().answer(request)
            body = re.sub(rb"/evenements/(soiree-\d+)", lambda m: written.format(m[1].decode()).encode(), answer.body)
            return dataclasses.replace(answer, body=body)

    with Moved(events=40, bad=0) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 40
    assert not found.warnings


def test_an_event_page_itself_can_be_the_start():
    with FakeSite(events=5, bad=0, start="/evenements/soiree-3") as service:
        found = fetch_from(service)
    assert [event.title for event in found.events] == ["Soirée 3"]


def test_pages_on_other_hosts_are_never_asked_for():
    with FakeSite(events=20, bad=0) as service:
        found = fetch_from(service)
        assert {line.request.headers["host"] for line in service.requests} == {service.origin.removeprefix("http://")}
    assert found.warnings == []


def test_counts_are_the_known_truth_over_two_passes_under_faults():
    with FakeSite(events=150, bad=3, faults=FaultPlan.usual(seed=4)) as service:
        first = fetch_from(service)
        service.advance_to_pass(2)
        second = fetch_from(service)
        again = fetch_from(service)
        assert count(Fetched(), first, VOLATILE) == service.truth(1)
        assert count(first, second, VOLATILE) == service.truth(2) == Truth(created=3, updated=15, skipped=135, errors=3)
        assert count(second, again, VOLATILE) == service.repeat_truth(2)
        assert sum(service.served.values()) > 50
        assert service.early == []


def test_the_number_of_pages_is_bounded_and_then_nothing_is_withdrawn():
    with FakeSite(events=60, bad=0) as service:
        found = fetch_from(service, LAVITRINE_MAX_PAGES="25")
        assert len(service.requests) == 25
    assert "stopped after 25 pages" in found.incomplete[0]


def test_a_linked_page_that_is_gone_is_a_warning():
    with FakeSite(events=30, bad=0) as service:
        service.gone = {1, 2}
        found = fetch_from(service)
    assert "page_gone" in found.warnings
    assert {service_id.rpartition("-")[2] for service_id in found.by_id}.isdisjoint({"1#event", "2#event"})


@pytest.mark.parametrize("status", [400, 401, 403, 451])
def test_a_page_that_is_refused_is_not_gone_and_nothing_is_withdrawn(status):
    with FakeSite(events=20, bad=0) as service:
        service.refused = {3: status, 7: status, 11: status}
        found = fetch_from(service)
    assert len(found.by_id) >= 17
    assert "page_failed" in found.warnings
    assert "page_gone" not in found.warnings
    assert found.incomplete == ["3 pages could not be read"]


@pytest.mark.parametrize("status", [404, 410])
def test_a_page_that_says_that_it_is_gone_leaves_the_fetch_complete(status):
    with FakeSite(events=20, bad=0, start="/sitemap.xml") as service:
        service.refused = {3: status}
        found = fetch_from(service)
    assert len(found.by_id) == 19
    assert "page_gone" in found.warnings
    assert not found.incomplete


def test_a_page_that_fails_costs_itself_only_and_nothing_is_withdrawn():
    with FakeSite(events=30, bad=0) as service:
        service.broken = {4}
        found = fetch_from(service)
    assert len(found.by_id) == 29
    assert "page_failed" in found.warnings
    assert found.incomplete == ["1 pages could not be read"]


def test_a_page_that_fails_for_a_while_is_asked_for_once_more_at_the_end():
    class Unlucky(FakeSite):
        failures = dict.fromkeys((f"/evenements/soiree-{number}" for number in (3, 6, 9, 12)), 8)

        def answer(self, request):
            if self.failures.get(request.path, 0) > 0:
                self.failures[request.path] -= 1
                return Answer(status=503, body=b"x", content_type="text/html")
            return super().answer(request)

    with Unlucky(events=30, bad=0) as service:
        found = fetch_from(service)
    assert len(found.by_id) == 30
    assert "page_failed" not in found.warnings
    assert not found.incomplete


def test_many_pages_that_fail_cost_only_themselves():
    with FakeSite(events=60, bad=0, start="/sitemap.xml") as service:
        service.broken = set(range(0, 60, 4))
        found = fetch_from(service)
    assert len(found.by_id) == 45
    assert found.incomplete == ["15 pages could not be read"]


def test_a_site_that_is_down_ends_the_fetch():
    with FakeSite(events=30, bad=0) as service:
        service.broken = set(range(30))
        with pytest.raises(TransientError):
            fetch_from(service)


def test_a_start_address_that_does_not_exist_is_an_error():
    with FakeSite(start="/nowhere") as service, pytest.raises(PermanentError, match="404"):
        fetch_from(service)


def test_a_site_without_any_schema_org_event_withdraws_nothing():
    with FakeSite(start="/contact", events=0, bad=0) as service:
        found = fetch_from(service)
    assert found.incomplete == ["no page holds a schema.org Event: have the pages changed?"]


def test_relative_addresses_are_relative_to_what_the_page_says():
    class Based(FakeSite):
        def answer(self, request):
            answer = super().answer(dataclasses.replace(request, path=request.path.replace("/fr/ici", "/evenements")))
            page = answer.body.decode().replace(f"{self.origin}/evenements/", "ici/").replace('"/evenements/', '"ici/')
            return Answer(body=page.replace("<head>", '<head><base href="/fr/">').encode(), content_type="text/html")

    with Based(events=30, bad=0) as service:
        found = fetch_from(service, LAVITRINE_LINK_PATTERN=r"^/fr/ici/soiree-")
        assert set(found.by_id) == {f"{service.origin}/fr/ici/soiree-{number}#event" for number in range(30)}
        assert {event.url for event in found.events} == {key.partition("#")[0] for key in found.by_id}
    assert not found.incomplete


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ('<base href="/fr/">', "https://x.org/fr/"),
        ('<BASE target="_top"><base href=" //cdn.org/a/b ">', "https://cdn.org/a/b"),
        ('<base href="fr/"><base href="/en/">', "https://x.org/agenda/fr/"),
        ("<base>", "https://x.org/agenda/mai"),
        ('<base href="javascript:alert(1)">', "https://x.org/agenda/mai"),
        ('<base href="//[broken">', "https://x.org/agenda/mai"),
        ("<p>base</p>", "https://x.org/agenda/mai"),
    ],
)
def test_the_base_of_a_page_is_read_as_a_browser_reads_it(written, base):
    assert base_of(f"<html><head>{written}</head><body></body></html>", "https://x.org/agenda/mai") == base


def test_links_can_be_told_by_another_pattern():
    with FakeSite(events=30, bad=0) as service:
        found = fetch_from(service, LAVITRINE_LINK_PATTERN=r"/soiree-1\d$")
    assert len(found.by_id) >= 10
    assert all("soiree-1" in source_id for source_id in found.by_id)


def test_a_damaged_compressed_sitemap_is_asked_for_again():
    class Damaged(FakeSite):
        tries = 0

        def answer(self, request):
            answer = super().answer(request)
            if request.path.endswith(".gz"):
                self.tries += 1
                if self.tries == 1:
                    return Answer(body=answer.body[:2] + b"garbage" * 9, content_type="application/gzip")
            return answer

    with Damaged(events=20, bad=0, start="/sitemap.xml") as service:
        assert len(fetch_from(service).by_id) == 20
        assert service.tries == 2


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_a_compressed_sitemap_that_breaks_off_is_not_all_there_is(kept):
    class Cut(FakeSite):
        def answer(self, request):
            answer = super().answer(request)
            if not request.path.endswith(".gz"):
                return answer
            return Answer(body=answer.body[: int(len(answer.body) * kept)], content_type="application/gzip")

    with Cut(events=20, bad=0, start="/sitemap.xml") as service:
        found = fetch_from(service)
    assert "page_failed" in found.warnings
    assert "1 pages could not be read" in found.incomplete


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_a_sitemap_that_breaks_off_is_asked_for_again_and_is_not_all_there_is(kept):
    class Cut(FakeSite):
        cut: int = 1

        def answer(self, request):
            answer = super().answer(request)
            if not request.path.endswith(".gz") or self.cut <= 0:
                return answer
            self.cut -= 1
            plain = gzip.decompress(answer.body)
            return Answer(body=plain[: int(len(plain) * kept)], content_type="application/xml")

    with Cut(events=20, bad=0, start="/sitemap.xml") as service:
        found = fetch_from(service)
        assert len(found.by_id) == 20
        assert not found.incomplete
        service.cut = 100
        found = fetch_from(service)
    assert "page_failed" in found.warnings
    assert "1 pages could not be read" in found.incomplete


@pytest.mark.parametrize("empty", ["<urlset/>", "<urlset></urlset>\n<!-- made in 3 s -->", "<sitemapindex />"])
def test_a_sitemap_without_pages_is_whole(empty):
    class Empty(FakeSite):
        def answer(self, request):
            if request.path == "/sitemap-pages.xml":
                return Answer(body=f'<?xml version="1.0"?>\n{empty}'.encode(), content_type="application/xml")
            return super().answer(request)

    with Empty(events=20, bad=0, start="/sitemap.xml") as service:
        found = fetch_from(service)
    assert len(found.by_id) == 20
    assert not found.incomplete


@pytest.mark.parametrize("kind", ["application/pdf", "image/jpeg", "text/calendar; charset=UTF-8"])
def test_a_file_that_a_listing_links_to_is_no_page_that_failed(kind):
    class Leaflet(FakeSite):
        def answer(self, request):
            if request.path == "/evenements/programme":
                return Answer(body=b"%PDF-1.4 BEGIN:VCALENDAR", content_type=kind)
            answer = super().answer(request)
            linked = b'<body><a href="/evenements/programme">x</a>'
            return dataclasses.replace(answer, body=answer.body.replace(b"<body>", linked))

    with Leaflet(events=20, bad=0) as service:
        found = fetch_from(service)
        assert [line.request.path for line in service.requests].count("/evenements/programme") == 1
        assert len(found.by_id) == 20
        assert "no_event_in_page" in found.warnings
        assert not found.incomplete
    with (
        Leaflet(start="/evenements/programme") as service,
        pytest.raises(PermanentError, match="no page and no sitemap"),
    ):
        fetch_from(service)


class Plain(FakeSite):
    """A site that also serves `/plain`: whatever `body` makes of it."""

    content_type = "text/plain; charset=utf-8"

    def body(self) -> str:
        raise NotImplementedError

    def answer(self, request):
        if request.path != "/plain":
            return super().answer(request)
        return Answer(body=self.body().encode(), content_type=self.content_type)


@pytest.mark.parametrize("begin", ["", "\ufeff", "\r\n"])
def test_a_sitemap_may_be_a_text_with_one_address_a_line(begin):
    class Listing(Plain):
        def body(self):
            lines = [
                f"{self.origin}/contact?a=1&b=2",
                *map(self.url, range(20)),
                "https://elsewhere.example/evenements/x",
            ]
            return begin + "\r\n".join(lines) + "\n"

    with Listing(events=20, bad=0, start="/plain") as service:
        found = fetch_from(service)
        assert len(found.by_id) == 20
        assert len(service.requests) == 21
    assert not found.incomplete


@pytest.mark.parametrize("content_type", ["application/ld+json", "application/json; charset=utf-8", "text/plain"])
def test_a_json_ld_document_needs_no_page_around_it(content_type):
    class Document(Plain):
        def body(self):
            nodes = [self.node(number) | {"url": None} for number in range(3)]
            nodes[0]["description"] = "</script><!-- <script> \\ 5 < 6"
            return json.dumps({"@context": "https://schema.org", "@graph": nodes})

    Document.content_type = content_type
    with Document(events=20, bad=0, start="/plain") as service:
        found = fetch_from(service)
        assert set(found.by_id) == {f"{service.url(number)}#event" for number in range(3)}
        assert len(service.requests) == 1
        assert found.by_id[f"{service.url(0)}#event"].payload["description"].endswith("\\ 5 < 6")
    assert not found.rejected
    assert not found.incomplete


def test_a_list_in_a_json_ld_document_leads_to_its_pages():
    class Document(Plain):
        def body(self):
            items = [{"@type": "ListItem", "url": self.url(number)} for number in range(20)]
            return json.dumps({"@context": "https://schema.org", "@type": "ItemList", "itemListElement": items})

    with Document(events=20, bad=0, start="/plain") as service:
        assert len(fetch_from(service).by_id) == 20


@pytest.mark.parametrize("body", ['{"@type": "Event", "name": "x", ', '{"error": "try later"}', "please wait"])
def test_a_document_that_breaks_off_or_says_nothing_is_asked_for_again(body):
    with Plain(start="/plain") as service:
        service.body = lambda: body
        with pytest.raises(TransientError):
            fetch_from(service)
        assert len(service.requests) > 1
