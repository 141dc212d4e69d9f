"""Events as feeds: iCalendar, JSON Feed 1.1 and RSS 2.0. What is in an event is text from outside, and stays text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from html import escape
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event

TITLE = "Events"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any form; readers refuse the whole feed for one of them."""
_ICS_STATUS = {"cancelled": "CANCELLED", "tentative": "TENTATIVE", "postponed": "TENTATIVE"}

Item = Mapping[str, Any]


def web_link(url: object) -> str | None:
    """The address, if a reader may follow it: anything but http and https would run or open something."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.netloc else None


def as_ics(events: Sequence[Item], *, home: str) -> bytes:
    """RFC 5545. Events without a time are all-day; a withdrawn one is cancelled, so that calendars drop it."""
    calendar = Calendar()
    calendar.add("prodid", "-//ingestion-platform//events//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", TITLE)
    calendar.add("refresh-interval", timedelta(hours=1), parameters={"VALUE": "DURATION"})
    for item in events:
        entry = Event()
        entry.add("uid", f"{item['id']}@{urlsplit(home).hostname or 'events'}")
        changed = datetime.fromisoformat(item["changed_at"])
        entry.add("dtstamp", changed.astimezone(UTC))
        entry.add("last-modified", changed.astimezone(UTC))
        entry.add("summary", _text(item["title"]))
        _add_times(entry, item)
        status = "CANCELLED" if item["withdrawn_at"] else _ICS_STATUS.get(item["status"], "CONFIRMED")
        entry.add("status", status)
        if place := _place(item):
            entry.add("location", place)
        venue = item["venue"] or {}
        if venue.get("lat") is not None and venue.get("lon") is not None:
            entry.add("geo", (venue["lat"], venue["lon"]))
        if item["description"]:
            entry.add("description", _text(item["description"]))
        if link := web_link(item["url"]):
            entry.add("url", link)
        if item["tags"]:
            entry.add("categories", _tags(item))
        calendar.add_component(entry)
    return bytes(calendar.to_ical())


def _add_times(entry: Any, item: Item) -> None:
    if item["start"] is None:
        day = date.fromisoformat(item["date"])
        last = date.fromisoformat(item["end_date"]) if item["end_date"] else day
        entry.add("dtstart", day)
        # The end of an all-day event is the day after it: exclusive in iCalendar, inclusive with us.
        entry.add("dtend", max(day, last) + timedelta(days=1))
        return
    start = datetime.fromisoformat(item["start"]).astimezone(UTC)
    entry.add("dtstart", start)
    if item["end_local"] and item["timezone"]:
        end = datetime.fromisoformat(item["end_local"]).replace(tzinfo=ZoneInfo(item["timezone"])).astimezone(UTC)
        if end > start:
            entry.add("dtend", end)


def as_json_feed(events: Sequence[Item], *, home: str, self_url: str, next_url: str | None = None) -> dict[str, Any]:
    """JSON Feed 1.1; `_event` holds the whole event, `next_url` is where there are more."""
    return {
        "version": "https://jsonfeed.org/version/1.1",
        "title": TITLE,
        "home_page_url": home,
        "feed_url": self_url,
        **({"next_url": next_url} if next_url else {}),
        "items": [
            {
                "id": item["id"],
                **({"url": link} if (link := web_link(item["url"])) else {}),
                "title": item["title"],
                "content_text": item["description"] or summary(item),
                **({"image": image} if (image := web_link(item["image_url"])) else {}),
                "date_published": item["created_at"],
                "date_modified": item["changed_at"],
                "tags": _tags(item),
                "_event": item,
            }
            for item in events
        ],
    }


def as_rss(events: Sequence[Item], *, home: str, self_url: str) -> bytes:
    """RSS 2.0. Descriptions are escaped twice: readers take the text of the element for HTML."""
    atom = "http://www.w3.org/2005/Atom"
    ET.register_namespace("atom", atom)
    rss = ET.Element("rss", version="2.0")
    channel = ET.SubElement(rss, "channel")
    for tag, value in (("title", TITLE), ("link", home), ("description", "Events, deduplicated and tagged")):
        ET.SubElement(channel, tag).text = value
    ET.SubElement(channel, f"{{{atom}}}link", href=self_url, rel="self", type="application/rss+xml")
    for item in events:
        entry = ET.SubElement(channel, "item")
        ET.SubElement(entry, "title").text = _xml(f"{item['title']} ({item['date']})")
        if link := web_link(item["url"]):
            ET.SubElement(entry, "link").text = _xml(link)
        ET.SubElement(entry, "guid", isPermaLink="false").text = _xml(item["id"])
        ET.SubElement(entry, "pubDate").text = format_datetime(datetime.fromisoformat(item["changed_at"]))
        body = summary(item) + (f"\n{item['description']}" if item["description"] else "")
        ET.SubElement(entry, "description").text = _xml(_html(body))
        for tag in _tags(item):
            ET.SubElement(entry, "category").text = _xml(tag)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(rss, encoding="unicode")).encode()


def summary(item: Item) -> str:
    """When and where, in one line."""
    when = item["start_local"].replace("T", " ")[:16] if item["start_local"] else item["date"]
    return ", ".join(part for part in (when, _place(item)) if part)


def _place(item: Item) -> str:
    venue = item["venue"] or {}
    parts = [venue.get("name"), venue.get("address"), venue.get("city") or item["city"]]
    return _text(", ".join(dict.fromkeys(part for part in parts if part)))


def _tags(item: Item) -> list[str]:
    tags = item["tags"]
    return [tags["type"], *tags["genres"], *tags["ambiance"], *tags["audience"]] if tags else []


def _text(value: str) -> str:
    # Control characters are no iCalendar text; a lone CR would begin a line of the sender's making.
    return "".join(c for c in value.replace("\r\n", "\n").replace("\r", "\n") if c in "\n\t" or c.isprintable())


def _xml(value: str) -> str:
    return _NOT_XML.sub("�", value)


def _html(value: str) -> str:
    return escape(value).replace("\n", "<br>")
