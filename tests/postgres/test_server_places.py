"""Where the server lives and who runs it: long paths, closed folders, root, ordinary users."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from resources.postgres import _accounts, _binaries, _home
from resources.postgres._files import open_private, replace_private
from resources.postgres.server import EmbeddedServer, EmbeddedServerError

Make = Callable[..., EmbeddedServer]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def works(server: EmbeddedServer) -> None:
    server.start()
    with psycopg.connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def server_uid(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return psutil.Process(pid).uids().effective


@pytest.fixture
def system_folder(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /var/lib, so that copies of the programs are made anew and go away with the test."""
    folder = open_folder / "system"
    folder.mkdir(mode=0o711)
    monkeypatch.setattr(_home, "_system_folder", lambda: folder)
    return folder


@pytest.fixture
def renamed_server(warm_server: Make) -> Iterator[Callable[[str], EmbeddedServer]]:
    """The warm server with its folder under another name; the name is taken back afterwards."""
    original = warm_server().directory
    servers: list[EmbeddedServer] = []

    def rename(name: str) -> EmbeddedServer:
        servers.append(EmbeddedServer(original.parent / name))
        original.rename(servers[-1].directory)
        return servers[-1]

    first = warm_server()
    works(first)
    first.release()
    yield rename
    for server in servers:
        server.stop(force=True)
        server.directory.rename(original)


@pytest.mark.parametrize(
    "name", ["x" * 120, "two words", "été", "comma,comma", "per%20cent", 'quo"te', "plus+sign", "a'b"]
)
def test_a_path_that_no_socket_or_url_can_have_gets_its_socket_elsewhere(
    renamed_server: Callable[[str], EmbeddedServer], name: str
) -> None:
    server = renamed_server(name)
    works(server)
    socket = server.status().socket
    assert socket is not None
    assert socket.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    url = server.url("postgres")
    server.release()
    works(server)
    assert server.url("postgres") == url, "the address outlives a stop"


def test_a_socket_folder_elsewhere_is_deleted_with_the_server(make_server: Make, open_folder: Path) -> None:
    server = make_server(open_folder / ("x" * 120))
    works(server)
    socket = server.status().socket
    assert socket is not None
    server.destroy()
    assert not socket.exists()
    assert list(open_folder.iterdir()) == []


def test_a_socket_folder_that_somebody_else_took_over_is_not_used(
    renamed_server: Callable[[str], EmbeddedServer], open_folder: Path
) -> None:
    server = renamed_server("x" * 120)
    works(server)
    before = server.status().socket
    assert before is not None
    server.release()
    shutil.rmtree(before)
    trap = open_folder / "trap"
    trap.mkdir()
    trap.chmod(0o777)
    before.symlink_to(trap)
    try:
        works(server)
        assert server.status().socket != before
        assert list(trap.iterdir()) == []
    finally:
        before.unlink()


def test_a_socket_folder_that_others_may_enter_is_replaced(warm_server: Make) -> None:
    server = warm_server()
    works(server)
    opened = server.status().socket
    assert opened is not None
    server.release()
    opened.chmod(0o755)
    works(server)
    used = server.status().socket
    assert used is not None
    assert stat.S_IMODE(used.stat().st_mode) == 0o700
    if used != opened:  # in the system's temporary folder, where nothing is removed that may be another's
        opened.rmdir()


@as_root
def test_roots_server_runs_as_a_number_that_nobody_has(warm_server: Make) -> None:
    server = warm_server()
    works(server)
    uid = server_uid(server)
    assert uid in _accounts._UNUSED
    assert psutil.Process(server.status().pid).gids().effective == uid
    with pytest.raises(KeyError):
        __import__("pwd").getpwuid(uid)
    data = server.status().data_directory
    assert data is not None
    assert {path.lstat().st_uid for path in (data, *data.rglob("*"))} == {uid}
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


@as_root
def test_below_a_closed_folder_roots_server_lives_elsewhere_and_is_found_again(
    make_server: Make, closed_folder: Path, hold: Callable
) -> None:
    directory = closed_folder / "clone" / ".ingestion" / "postgres"
    server = make_server(directory)
    works(server)
    server.ensure_database("kept")
    data = server.status().data_directory
    assert data is not None
    assert not data.is_relative_to(closed_folder)
    assert stat.S_IMODE(closed_folder.stat().st_mode) == 0o700, "nobody's permissions were changed"
    assert stat.S_IMODE(data.parent.stat().st_mode) == 0o710
    server.release()

    again = make_server(directory)
    works(again)
    assert again.status().data_directory == data
    with psycopg.connect(again.url("kept")) as connection:
        assert connection.info.dbname == "kept"

    # A copy of the folder leads to the same place. The two share the server instead of fighting over its files.
    shutil.copytree(directory, closed_folder / "copy", symlinks=True)
    copy = hold(closed_folder / "copy")
    assert copy.ask("start") == "1"
    again.release()
    assert again.status().running
    assert copy.ask("release") == "released"
    assert not again.status().running

    again.destroy()
    assert not data.parent.exists()
    assert not directory.exists()


@as_root
def test_a_deleted_folder_does_not_bring_its_old_data_back(
    closed_folder: Path, system_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = closed_folder / "postgres"
    _home.make_folder(directory)
    first, _, _ = _home.settle(directory)
    assert first.root.parent == system_folder
    first.data.mkdir()
    (first.data / "PG_VERSION").write_text("18\n")
    assert _home.existing_home(directory) == first

    shutil.rmtree(directory)
    _home.make_folder(directory)
    assert _home.existing_home(directory) is None
    second, _, _ = _home.settle(directory)
    assert second.root != first.root
    assert f"an earlier database of {directory} is still in {first.root}" in caplog.text

    shutil.rmtree(second.root)
    assert _home.existing_home(directory) is None
    third, _, _ = _home.settle(directory)
    assert third.root.is_dir()


@as_root
def test_programs_that_the_account_cannot_reach_are_copied_once(
    warm_server: Make, closed_folder: Path, system_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = _binaries.copied_below(_binaries.newest(), closed_folder / "venv")
    monkeypatch.setattr(_binaries, "installations", lambda: {hidden.major: hidden})
    server = warm_server()
    works(server)
    server.release()
    works(server)
    copies = list(system_folder.glob("postgresql-*"))
    assert len(copies) == 1
    assert psutil.Process(server.status().pid).exe().startswith(str(copies[0]))


@as_root
def test_a_copy_of_the_programs_that_was_cut_short_is_made_again(closed_folder: Path) -> None:
    copy = _binaries.copied_below(_binaries.newest(), closed_folder)
    copy.program("postgres").write_bytes(b"")
    again = _binaries.copied_below(_binaries.newest(), closed_folder)
    assert again == copy
    assert again.program("postgres").stat().st_size > 2**20


@as_root
def test_an_ordinary_user_runs_the_server_as_himself(
    open_folder: Path, make_server: Make, hold: Callable, unprivileged: int
) -> None:
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, unprivileged, unprivileged)
    directory = home / ".ingestion" / "postgres"
    user = hold(directory, unprivileged)
    assert user.ask("start") == "1"
    server = EmbeddedServer(directory)
    assert server_uid(server) == unprivileged
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700

    # Root joins, leaves last, starts it again: it stays the user's server, and no file changes hands.
    works(server)
    assert user.ask("release") == "released"
    server.release()
    assert not server.status().running
    works(server)
    assert server_uid(server) == unprivileged
    assert user.ask("start") == "1"
    server.release()
    assert {path.lstat().st_uid for path in directory.rglob("*")} == {unprivileged}
    assert user.ask("release") == "released"
    assert not server.status().running
    assert user.ask("destroy") == "destroyed"


@as_root
def test_root_in_somebodys_folder_makes_a_server_that_is_theirs(
    open_folder: Path, make_server: Make, hold: Callable, unprivileged: int
) -> None:
    home = open_folder / "mounted"
    home.mkdir(mode=0o700)
    os.chown(home, unprivileged, unprivileged)
    server = make_server(home / "postgres")
    works(server)
    assert server_uid(server) == unprivileged
    server.release()
    user = hold(home / "postgres", unprivileged)
    assert user.ask("start") == "1"
    assert user.ask("release") == "released"


@as_root
def test_an_ordinary_user_is_told_when_the_server_is_roots(
    warm_server: Make, hold: Callable, unprivileged: int
) -> None:
    server = warm_server()
    works(server)
    answer = hold(server.directory, unprivileged).ask("start")
    assert answer.startswith("EmbeddedServerError: ")
    assert "INGESTION_HOME" in answer


@as_root
def test_a_root_that_cannot_become_another_user_runs_the_server_in_a_user_namespace(
    hold: Callable, closed_folder: Path
) -> None:
    """As in a container whose only user is root."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or not _accounts.namespace_account().can_run(_binaries.newest()):
        pytest.skip("no setpriv, or no user namespaces here")
    directory = closed_folder / "postgres"
    root = hold(directory, below=(setpriv, "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"))
    assert root.ask("start") == "1"
    assert EmbeddedServer(directory).status().data_directory == directory / "data"
    assert root.ask("release") == "released"
    assert not EmbeddedServer(directory).status().running

    # With its powers back, root uses the same files.
    server = EmbeddedServer(directory)
    works(server)
    server.destroy()


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_root_without_any_powers_is_told_what_to_do(hold: Callable, closed_folder: Path) -> None:
    root = hold(closed_folder / "postgres", below=("setpriv", "--bounding-set=-all", "--inh-caps=-all"))
    assert "Run as an ordinary user with an entry in /etc/passwd, or set DATABASE_URL" in root.ask("start")


def test_without_any_account_the_error_says_what_to_do(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_accounts, "candidates", lambda folder: iter(()))
    monkeypatch.setattr(_home, "_system_folder", lambda: None)
    monkeypatch.setattr(_accounts.Account, "can_run", lambda self, installation: False)
    with pytest.raises(EmbeddedServerError, match=r"Run as an ordinary user .* or set DATABASE_URL"):
        EmbeddedServer(open_folder / "postgres").start()


def test_without_the_wheel_the_error_says_what_to_do(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_binaries, "find_spec", lambda name: None)
    _binaries.installations.cache_clear()
    try:
        with pytest.raises(EmbeddedServerError, match="Install it again, or set DATABASE_URL"):
            EmbeddedServer(open_folder / "postgres").start()
    finally:
        _binaries.installations.cache_clear()


@pytest.mark.parametrize("name", ["server.log", "start.lock", "holders.lock", "server.lock"])
def test_a_planted_link_is_not_written_through(warm_server: Make, open_folder: Path, name: str) -> None:
    server = warm_server()
    works(server)
    server.release()
    victim = open_folder / "precious"
    victim.write_text("precious")
    file = server.directory / name
    file.rename(open_folder / name)
    file.symlink_to(victim)
    try:
        with pytest.raises(EmbeddedServerError, match=r"symbolic links"):
            server.start()
    finally:
        (open_folder / name).replace(file)
    assert victim.read_text() == "precious"


def test_settings_are_replaced_not_written_into(open_folder: Path) -> None:
    target = open_folder / "elsewhere"
    target.write_text("keep")
    (open_folder / "file").symlink_to(target)
    replace_private(open_folder / "file", "new", owner=None)
    assert (open_folder / "file").read_text() == "new"
    assert target.read_text() == "keep"
    assert stat.S_IMODE((open_folder / "file").lstat().st_mode) == 0o600


@as_root
def test_root_gives_away_its_own_files_but_no_hard_links(open_folder: Path, unprivileged: int) -> None:
    owner = (unprivileged, unprivileged)
    os.close(open_private(open_folder / "ours", os.O_RDWR, owner=owner))
    assert (open_folder / "ours").stat().st_uid == unprivileged

    (open_folder / "shadow").write_text("root's")
    (open_folder / "trap").hardlink_to(open_folder / "shadow")
    os.close(open_private(open_folder / "trap", os.O_RDWR, owner=owner))
    assert (open_folder / "shadow").stat().st_uid == 0


@as_root
def test_a_planted_way_to_another_folder_is_not_followed(make_server: Make, open_folder: Path) -> None:
    victim = open_folder / "precious"
    (victim / "data").mkdir(parents=True)
    (victim / "data" / "PG_VERSION").write_text("18\n")
    directory = open_folder / "postgres"
    directory.mkdir()
    (directory / "relocated").symlink_to(victim)
    os.chown(victim, 65534, 65534)
    assert _home.existing_home(directory) is None
    EmbeddedServer(directory).destroy()
    assert (victim / "data" / "PG_VERSION").exists()


@as_root
def test_a_user_without_a_name_can_have_a_server_or_is_told_why_not(
    open_folder: Path, hold: Callable, make_server: Make
) -> None:
    nameless = _accounts.nameless_account(open_folder).uid
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, nameless, nameless)
    answer = hold(home / "postgres", nameless).ask("start")
    make_server(home / "postgres")
    assert answer == "1" or "which needs a user that has a name" in answer
