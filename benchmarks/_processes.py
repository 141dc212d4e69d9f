"""Work in processes of its own: a method to be measured, a fake service, a peer's environment."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / ".bench"
"""Everything that a run leaves behind: environments of peers. Ignored by git; delete it at any time."""


def run_child(
    module: str, task: Mapping[str, Any], *, python: str = sys.executable, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `python -m module <task as JSON>` and return the last line of its output, read as JSON.

    Raises RuntimeError with the end of its error output when it fails.
    """
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    # As in production, where modules are compiled once. pip does that for the peers when it installs them.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    if python == sys.executable:
        variables["PYTHONPYCACHEPREFIX"] = str(BENCH / "bytecode")
    done = subprocess.run(
        [python, "-m", module, json.dumps(task)],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} failed with {done.returncode}:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


class FakeProcess:
    """A fake service of `tests.fakes` in a process of its own, so that its work is not counted as the client's."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.environment: dict[str, str] = self._answer()

    def _answer(self) -> dict[str, Any]:
        line = _stream(self._process.stdout).readline()
        if not line:
            raise RuntimeError("the fake service ended before it answered")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def advance_to_pass(self, number: int) -> None:
        """Serve the records of pass `number` from now on."""
        pipe = _stream(self._process.stdin)
        pipe.write(f"{number}\n")
        pipe.flush()
        self._answer()


@contextmanager
def fake_service(factory: str, options: Mapping[str, Any]) -> Iterator[FakeProcess]:
    """Run the fake `module:Class` with `options` for as long as the context lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes._server", factory, json.dumps(options)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield FakeProcess(process)
    finally:
        _stream(process.stdin).close()  # it ends with its standard input
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def peer_python(requirements: Path) -> str:
    """The interpreter of an environment that holds `requirements` alone, made with pip on first use.

    Peers do not share our dependencies' versions, and must not change them.
    """
    return _environment(requirements, beside_platform=False)


def platform_python(requirements: Path) -> str:
    """The interpreter of an environment that holds `requirements` beside everything that this one holds."""
    return _environment(requirements, beside_platform=True)


def _environment(requirements: Path, *, beside_platform: bool) -> str:
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = BENCH / f"{requirements.parent.name}-{digest}"
    python = folder / "bin" / "python"
    marker = folder / ".complete"
    if not marker.exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        if beside_platform:
            packages = next(folder.glob("lib/python*/site-packages"))
            # Not the bare path: what is installed there by .pth files, such as the platform itself, counts too.
            (packages / "platform.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"pip could not install {requirements.name} of the peers:\n{done.stderr[-3000:]}")
        marker.touch()
    return str(python)


def _stream(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("the process was started without pipes")
    return pipe
