"""Table definitions, one module a subject, all on one `metadata`. Tests hold the migrations to them.

Queries that matter for speed are written as SQL where they run; nothing maps rows to objects.
"""

from __future__ import annotations

import importlib
import pkgutil

from resources.postgres.tables.base import metadata

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["metadata"]
