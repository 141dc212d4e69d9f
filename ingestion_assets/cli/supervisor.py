"""A few child processes that live and die together, each with a log file."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from resources.errors import PermanentError

START_TIMEOUT = 120.0
"""Seconds. Loading the code takes about three on a quiet machine."""
_GRACE = 15.0
"""Seconds between SIGTERM and SIGKILL: a run that is cancelled closes its ledger row in that time."""
_PR_SET_PDEATHSIG = 1


class ChildDiedError(PermanentError):
    """A process that everything depends on ended by itself."""


@dataclass(slots=True)
class _Child:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    again: Collection[int]
    process: subprocess.Popen[bytes]
    log: Path
    stream: IO[bytes]


class Supervisor:
    """Starts children in sessions of their own and ends all of them, with whatever they started, on leaving."""

    def __init__(self, directory: Path) -> None:
        """`directory` is where the log files go."""
        self.directory = directory
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        again: Collection[int] = (),
    ) -> None:
        """Start a child; its output goes to `<name>.log`, the last one kept as `<name>.log.1`.

        `environment` is added to this process's own. A child that ends with a status in `again` asks to be started afresh.
        """
        self._children.append(self._started(name, command, environment or {}, again))

    def _started(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], again: Collection[int]
    ) -> _Child:
        log = self.directory / f"{name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        stream = log.open("wb")
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has no threads
        )
        return _Child(name, command, environment, again, process, log, stream)

    def check(self) -> None:
        """Start afresh who asked for it. Raise `ChildDiedError`, with the end of its log, when another child is gone."""
        for place, child in enumerate(self._children):
            if child.process.poll() is None:
                continue
            if child.process.returncode in child.again:
                # What it left behind in its session, such as a thread's helper, must not work beside the new one.
                _signal_group(child, signal.SIGKILL)
                child.stream.close()
                self._children[place] = self._started(child.name, child.command, child.environment, child.again)
            else:
                tail = child.log.read_text(errors="replace").splitlines()[-15:]
                raise ChildDiedError(
                    f"{child.name} ended with status {child.process.returncode}. The end of {child.log}:\n"
                    + "\n".join(tail)
                )

    def stop(self) -> None:
        """End all children: politely, then for certain."""
        for child in reversed(self._children):
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for child in reversed(self._children):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        for child in self._children:
            # The leader may be gone while a run that it started is not.
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
            child.stream.close()
        self._children.clear()


def _signal_group(child: _Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _die_with_parent() -> None:
    """In the child, before exec: default signals whatever the shell set, and SIGKILL when the supervisor is killed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(port: int, option: str) -> None:
    """Raise `PermanentError` when something listens on this port of 127.0.0.1; `option` chooses another one."""
    with socket.socket() as probe:
        # As servers do: connections that have just ended keep nobody out.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PermanentError(
                f"port {port} cannot be used ({error.strerror}): end what listens on it, or choose another by {option}"
            ) from error


def wait_for_port(port: int, supervisor: Supervisor, stopped: Callable[[], bool]) -> None:
    """Return when something listens on the port, or when `stopped`. Raises when a child dies or time runs out."""

    def up() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    _wait(up, f"port {port}", supervisor, stopped)


def wait_for_http(url: str, supervisor: Supervisor, stopped: Callable[[], bool]) -> None:
    """Return when the URL answers, or when `stopped`. Raises when a child dies or time runs out."""
    import urllib.request

    def up() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a loopback address of ours
            return True
        return False

    _wait(up, url, supervisor, stopped)


def _wait(up: Callable[[], bool], what: str, supervisor: Supervisor, stopped: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not stopped() and not up():
        supervisor.check()
        if time.monotonic() > deadline:
            raise ChildDiedError(f"{what} did not answer within {START_TIMEOUT:.0f} s; see {supervisor.directory}")
        time.sleep(0.2)
