"""A fake of Montréal's CKAN: `datastore_search`, `package_show` and the CSV download of `evenements-publics`.

Made from CKAN's documentation and what public clients of the data set rely on: the envelope, the silent cap on
`limit`, `_id` dealt anew at each reload, dates without times, the word "nan", and the damage that real exports carry.
"""

from __future__ import annotations

import csv
import io
import random
from datetime import date, timedelta
from typing import Any, ClassVar

from tests.fakes._server import Answer, FakeService, FaultPlan, Request, Truth, VirtualClock, json_answer

COLUMNS = (
    "titre",
    "url_fiche",
    "description",
    "date_debut",
    "date_fin",
    "type_evenement",
    "public_cible",
    "emplacement",
    "inscription",
    "cout",
    "arrondissement",
    "titre_adresse",
    "adresse_principale",
    "code_postal",
    "lat",
    "long",
)
DATASET = "6a4cbf2c-c9b7-413a-86b1-e8f7081e2578"
RESOURCE = "6decf611-6f11-4f34-bb36-324d804c9bad"
FIRST_DAY = date(2026, 11, 16)

_KINDS = ("Musique", "Heure du conte", "Théâtre", "Sport et plein air", "Art et artisanat", "Cinéma")
_BOROUGHS = (
    "Verdun",
    "Ville-Marie",
    "Rosemont–La Petite-Patrie",
    "Côte-des-Neiges–Notre-Dame-de-Grâce",
    "Ville de Montréal",
)


def event_row(number: int, *, days: int = 84) -> dict[str, Any]:
    """A good row, the same for the same `number`; its start lies within `days` of `FIRST_DAY`."""
    draw = random.Random(number)
    start = FIRST_DAY + timedelta(days=draw.randrange(days))
    end = start + timedelta(days=draw.choice((0, 0, 0, 0, 2)))
    return {
        "titre": f"Activité d'hiver n° {number}",
        "url_fiche": f"https://montreal.ca/evenements/activite-dhiver-no-{number}-{100_000 + number}",
        "description": f"Une activité gratuite ou payante, décrite en quelques mots. Numéro {number}, à l'intérieur.",
        "date_debut": start.isoformat(),
        "date_fin": end.isoformat(),
        "type_evenement": draw.choice(_KINDS),
        "public_cible": draw.choice(("Pour tous", "Enfants", "Famille", "Adultes")),
        "emplacement": draw.choice(("En salle", "À l'extérieur", "En ligne")),
        "inscription": "Entrée libre",
        "cout": "Gratuit" if number % 5 else "Payant",
        "arrondissement": draw.choice(_BOROUGHS),
        "titre_adresse": f"Bibliothèque {number % 40}",
        "adresse_principale": "nan" if number % 10 else f"{number}, rue Principale",
        "code_postal": "nan" if number % 10 else "H2X 1K1",
        "lat": round(45.4 + draw.random() / 5, 6),
        "long": round(-73.9 + draw.random() / 3, 6),
    }


BAD_ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("missing_title", {"titre": "nan"}),
    ("missing_title", {"titre": None}),
    ("missing_id", {"url_fiche": "nan"}),
    ("missing_start", {"date_debut": ""}),
    ("invalid_start", {"date_debut": "à venir"}),
    ("invalid_start", {"date_debut": "2026-02-31"}),
)
"""What real rows lack, and the reason code each must be refused with."""


class FakeCkan(FakeService):
    """Serves `events` good rows and `bad` malformed ones; pass 2 changes a tenth and adds a fiftieth."""

    name: ClassVar[str] = "open_data_montreal"

    def __init__(
        self,
        *,
        events: int = 200,
        bad: int = 6,
        rows_max: int = 32_000,
        datastore: bool = True,
        moved: bool = False,
        rows: list[Any] | None = None,
        csv_body: bytes | None = None,
        faults: FaultPlan | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        """`datastore`: whether the API exists. `moved`: the table has another id now. `rows`, `csv_body`: own data."""
        super().__init__(faults=faults, clock=clock)
        self.events = events
        self.bad = bad
        self.rows_max = rows_max
        self.datastore = datastore
        self.resource = "0b7c51c6-7d2f-4c3b-9a43-5d6b0a9f1c11" if moved else RESOURCE
        self.csv_body = csv_body
        self._own = rows
        self._cache: dict[int, list[Any]] = {}

    def environment(self) -> dict[str, str]:
        return {"OPEN_DATA_MONTREAL_BASE_URL": self.origin}

    @property
    def csv_url(self) -> str:
        return f"{self.origin}/dataset/{DATASET}/resource/{self.resource}/download/evenements.csv"

    def truth(self, pass_number: int) -> Truth:
        added = self.events // 50
        if pass_number == 1:
            return Truth(created=self.events, errors=self.bad)
        changed = self.events // 10
        return Truth(created=added, updated=changed, skipped=self.events - changed, errors=self.bad)

    def rows(self, pass_number: int) -> list[Any]:
        """The table in the order of its row numbers."""
        if self._own is not None:
            return self._own
        if pass_number not in self._cache:
            self._cache = {pass_number: self._table(pass_number)}
        return self._cache[pass_number]

    def _table(self, pass_number: int) -> list[Any]:
        numbers = list(range(self.events + (self.events // 50 if pass_number > 1 else 0)))
        rows = [event_row(number) for number in numbers]
        if pass_number > 1:
            for row in rows[: self.events // 10]:
                row["description"] += " Mise à jour."
        for index in range(self.bad):
            _, damage = BAD_ROWS[index % len(BAD_ROWS)]
            rows.append({**event_row(900_000 + index), **damage})
        # A reload deals the row numbers anew and may write the columns in another order.
        random.Random(pass_number).shuffle(rows)
        table = []
        for row_id, row in enumerate(rows, start=1):
            columns = list(row.items())
            if pass_number > 1:
                columns.reverse()
            table.append({"_id": row_id, **dict(columns)})
        return table

    def answer(self, request: Request) -> Answer:
        path = request.path
        if path == "/api/3/action/datastore_search" and self.datastore:
            return self._search(request)
        if path == "/api/3/action/package_show":
            return self._package(request)
        if path.endswith("/download/evenements.csv"):
            return Answer(body=self._csv(), content_type="text/csv")
        page = b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>"
        return Answer(status=404, body=page, content_type="text/html; charset=utf-8")

    def _search(self, request: Request) -> Answer:
        query = request.query
        if query.get("resource_id") != self.resource:
            return _error(404, "Not Found Error", f'Resource "{query.get("resource_id")}" was not found.')
        try:
            limit, offset = int(query.get("limit", "100")), int(query.get("offset", "0"))
        except ValueError:
            return _error(409, "Validation Error", "limit: not an integer")
        limit = min(limit, self.rows_max)
        rows = self.rows(self.current_pass)
        if query.get("sort") != "_id asc":
            # Without an order PostgreSQL promises none from one page to the next.
            rows = random.Random(offset).sample(rows, len(rows))
        result = {
            "include_total": True,
            "limit": limit,
            "offset": offset,
            "records_format": "objects",
            "resource_id": self.resource,
            "total_estimation_threshold": None,
            "records": rows[offset : offset + limit],
            "fields": [{"id": "_id", "type": "int"}, *({"id": name, "type": "text"} for name in COLUMNS)],
            "_links": {"start": "/api/3/action/datastore_search", "next": "/api/3/action/datastore_search"},
            "total": len(rows),
            "total_was_estimated": False,
        }
        return json_answer({"help": f"{self.origin}/api/3/action/help_show", "success": True, "result": result})

    def _package(self, request: Request) -> Answer:
        if request.query.get("id") not in ("evenements-publics", DATASET):
            return _error(404, "Not Found Error", "Non trouvé")
        resources = [
            {"id": "dictionnaire", "name": "Dictionnaire", "format": "CSV", "url": f"{self.origin}/dictionnaire.csv"},
            {
                "id": self.resource,
                "name": "Événements publics",
                "format": "CSV",
                # As the real catalogue does: absolute, on the city's own host.
                "url": self.csv_url.replace(self.origin, "https://donnees.montreal.ca"),
                "datastore_active": self.datastore,
            },
        ]
        result = {"id": DATASET, "name": "evenements-publics", "resources": resources}
        return json_answer({"help": "", "success": True, "result": result})

    def _csv(self) -> bytes:
        if self.csv_body is not None:
            return self.csv_body
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for row in self.rows(self.current_pass):
            writer.writerow("" if row[name] is None else row[name] for name in COLUMNS)
        return b"\xef\xbb\xbf" + out.getvalue().encode()


def _error(status: int, kind: str, message: str) -> Answer:
    return json_answer({"help": "", "success": False, "error": {"__type": kind, "message": message}}, status=status)
