from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from resources.postgres._locks import FileLock
from resources.postgres.server import EmbeddedServer, EmbeddedServerBusyError

Make = Callable[..., EmbeddedServer]


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_six_processes_that_start_at_once_get_one_cluster_and_one_server(make_server: Make, hold: Callable) -> None:
    server = make_server()
    holders = [hold(server.directory) for _ in range(6)]
    for holder in holders:
        holder.send("start")
    assert [holder.answer() for holder in holders] == ["1"] * 6
    assert len({holder.ask("url") for holder in holders}) == 1
    status = server.status()
    postmasters = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if str(status.data_directory) in (process.info["cmdline"] or [])
    ]
    assert postmasters == [status.pid]


def test_the_server_runs_until_its_last_holder_leaves(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    first, second = hold(server.directory), hold(server.directory)
    assert first.ask("start") == second.ask("start") == "1"
    url, pid = first.ask("url"), server.status().pid

    assert first.ask("release") == "released"
    assert answers(url)
    assert first.ask("release") == "released", "releasing twice is harmless and takes nobody else's hold"
    assert answers(url)

    assert second.ask("release") == "released"
    assert not server.status().running
    assert pid is not None
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_two_holders_in_one_process_count_as_two(warm_server: Make) -> None:
    first, second = warm_server(), warm_server()
    first.start()
    second.start()
    first.release()
    assert answers(second.url("postgres"))
    second.release()
    assert not answers(second.url("postgres"))


def test_a_process_that_ends_without_a_word_stops_the_server(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    holder = hold(server.directory)
    assert holder.ask("start") == "1"
    assert holder.ask("exit") == "exiting"
    holder.process.wait(60)
    assert not server.status().running


def test_a_killed_holder_neither_stops_the_server_nor_keeps_it_alive(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    killed = hold(server.directory)
    assert killed.ask("start") == "1"
    killed.process.kill()
    killed.process.wait(60)
    assert server.status().running

    server.start()
    server.release()
    assert not server.status().running


def test_a_killed_holder_does_not_stop_the_server_under_another(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    server.start()
    killed = hold(server.directory)
    assert killed.ask("start") == "1"
    killed.process.kill()
    killed.process.wait(60)
    assert answers(server.url("postgres"))


def test_programs_that_a_holder_starts_do_not_inherit_its_hold(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    holder = hold(server.directory)
    assert holder.ask("start") == "1"
    child = int(holder.ask("sleeping child"))
    try:
        holder.process.kill()
        holder.process.wait(60)
        server.start()
        server.release()
        assert not server.status().running
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_has_no_hold_and_gives_up_none(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    parent = hold(server.directory)
    assert parent.ask("start") == "1"
    url = parent.ask("url")
    child = int(parent.ask("forked child"))
    try:
        server.start()
        server.release()
        assert answers(url), "the parent still holds it, though the child has called release()"

        parent.process.kill()
        parent.process.wait(60)
        assert psutil.pid_exists(child)
        server.start()
        server.release()
        assert not answers(url), "the child, which lives, holds nothing"
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_that_ends_does_not_stop_the_server_of_its_parent(warm_server: Make) -> None:
    server = warm_server()
    server.start()
    child = os.fork()
    if child == 0:
        server.release()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert answers(server.url("postgres"))


def test_stopping_is_refused_while_another_process_holds_the_server(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    server.start()
    other = hold(server.directory)
    assert other.ask("start") == "1"
    with pytest.raises(EmbeddedServerBusyError, match="other processes use"):
        server.stop()
    assert other.ask("release") == "released"
    assert answers(server.url("postgres")), "the refused stop kept our own hold"

    assert other.ask("start") == "1"
    server.stop(force=True)
    assert not server.status().running


def test_a_forced_stop_and_a_start_keep_address_holders_and_data(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    other = hold(server.directory)
    assert other.ask("start") == "1"
    server.start()
    server.ensure_database("kept")
    url, pid = server.url("kept"), server.status().pid
    server.stop(force=True)
    server.start()
    assert server.status().pid != pid
    assert server.url("kept") == url
    assert answers(url)
    server.release()
    assert answers(url), "the other process still holds it"
    assert other.ask("release") == "released"
    assert not answers(url)


def test_a_lock_on_a_file_that_was_deleted_meanwhile_is_no_lock(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.acquire(exclusive=True)
    (tmp_path / "lock").unlink()
    assert second.acquire(exclusive=True), "another file, another lock"
    assert not first.acquire(exclusive=True)
    assert not first.held
    second.release()
    assert first.acquire(exclusive=True)
    first.release()


def test_a_lock_is_shared_by_many_or_had_by_one(tmp_path: Path) -> None:
    first, second, third = (FileLock(tmp_path / "lock") for _ in range(3))
    assert first.acquire(exclusive=False)
    assert second.acquire(exclusive=False)
    assert not third.acquire(exclusive=True)
    first.release()
    assert second.acquire(exclusive=True)
    assert not third.acquire(exclusive=False)
    second.release()
    assert third.acquire(exclusive=False)
    third.release()
