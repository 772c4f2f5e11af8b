"""What `make run` starts, as a user sees it: server, embedded worker, files and databases; nothing in the way."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from email.utils import getaddresses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.sam_build import ROOT
from selfhost import server
from tests.support.origin.paced_origin import PacedOrigin
from tests.support.processes.selfhosted import (
    ONE_WORKER,
    START_SECONDS,
    PreloadedSelfHosted,
    SelfHosted,
    alive,
    peak_mebibytes,
    wait_until,
)
from tests.support.processes.smoke import smoke
from tests.support.stores.tables import mysql_database
from tests.support.web.clients import ServerClient
from urlsum.errors import SettingsError
from urlsum.origin.version.version import RESUME_OVERLAP_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
BLOCK = os.urandom(MIB + 1)
RECIPIENT = "example@abc.ru"
# The promise of the README: what one Ctrl-C may take.
STOP_SECONDS = 2.0
IPV6 = Path("/proc/net/if_inet6").exists()
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")


@pytest.fixture(params=["sqlite", "mysql"])
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The setting for each database; SQLite's is the default."""
    if request.param == "sqlite":
        yield {}
    else:
        with mysql_database() as uri:
            yield {"DATABASE_URI": uri}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SelfHosted]:
    with PreloadedSelfHosted(tmp_path) as started:
        yield started


@pytest.fixture
def slow() -> Iterator[PacedOrigin]:
    """24 MiB in three seconds: there is time to do something to it in the middle."""
    with PacedOrigin(BLOCK, 24 * MIB + 5, rate=8 * MIB) as origin:
        yield origin


def curl(line: str) -> tuple[int, str]:
    """Run a curl line as it would be typed; return the status and the body."""
    ran = subprocess.run(
        [*shlex.split(line), "--silent", "--show-error", "--write-out", "\n%{http_code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    body, _, status = ran.stdout.rpartition("\n")
    return int(status), body


def half_way(service: SelfHosted, origin: PacedOrigin, task_id: str) -> None:
    """Wait until a third is checkpointed, and what is read once more before it for proof."""
    wait_until(
        lambda: service.bytes_hashed(task_id) > origin.size / 3 + RESUME_OVERLAP_BYTES, 30, lambda: service.output
    )


def clean(output: str) -> bool:
    return "Traceback" not in output and "Error" not in output and "Warning" not in output


@needs_curl
def test_the_originals_curl_lines_work_to_the_letter(tmp_path: Path, database: dict[str, str]) -> None:
    with (
        PreloadedSelfHosted(tmp_path, **database, **ONE_WORKER) as service,
        PacedOrigin(BLOCK, 4 * MIB, rate=4 * MIB) as origin,
    ):
        origin.held.set()
        status, body = curl(f'curl -X POST -d "url={origin.url}&email={RECIPIENT}" {service.base}/submit')
        assert status == 202
        found = re.fullmatch(r'\{"id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})","check_url":"[^"]+"\}', body)
        assert found is not None, body
        task_id = found[1]
        line = f"curl -X GET {service.base}/check?id={task_id}"
        wait_until(lambda: bool(origin.starts), START_SECONDS, lambda: service.output)  # a worker still starts
        status, body = curl(line)
        assert (status, '"status":"running"' in body) == (202, True), body
        origin.held.clear()
        told = service.finished(task_id)
        status, body = curl(line)
        assert status == 200
        assert f'"md5":"{origin.md5}"' in body
        assert f'"url":"{origin.url}"' in body
        assert (told["status"], told["size"]) == ("done", origin.size)
        wait_until(lambda: len(service.mails()) == 1, 10, lambda: service.output)
        [mail] = service.mails()
        assert [address for _, address in getaddresses([mail["To"]])] == [RECIPIENT]
        assert origin.url not in mail["Subject"]
        text = mail.get_content()
        for part in ("File:      file.bin", "Host:      127.0.0.1", origin.md5, f"{origin.size} bytes", task_id):
            assert part in text
        assert service.end() < STOP_SECONDS
        assert clean(service.output), service.output


@needs_curl
def test_the_smoke_script_passes(tmp_path: Path, database: dict[str, str]) -> None:
    with (
        PreloadedSelfHosted(tmp_path, **database, **ONE_WORKER) as service,
        PacedOrigin(BLOCK, 5 * MIB + 1) as origin,
    ):
        smoke(service.base, origin.url, origin.md5, RECIPIENT)
        wait_until(lambda: len(service.mails()) == 1, 10, lambda: service.output)


@needs_curl
def test_the_smoke_script_can_fail(service: SelfHosted) -> None:
    with PacedOrigin(BLOCK, 1000) as origin:
        with pytest.raises(AssertionError, match=f"the MD5 is {origin.md5}, but {'0' * 32} was expected"):
            smoke(service.base, origin.url, "0" * 32, RECIPIENT)
        with pytest.raises(AssertionError, match="the URL was not accepted"):
            smoke(service.base, "ftp://host/file", origin.md5, RECIPIENT)


def test_make_run_takes_port_and_networks_from_the_file(tmp_path: Path) -> None:
    recipe = re.search(r"^run: .*\n\t@exec \$\(BIN\)/python (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    opened = SelfHosted(tmp_path, [sys.executable, *recipe[1].split()])
    del opened.settings["ALLOWED_NETWORKS"]
    with opened:
        # Loopback is open where nothing says otherwise, and localhost means both of its addresses.
        assert opened.check(opened.submit("http://127.0.0.1:9/")).status == 202
        if IPV6:
            socket.create_connection(("::1", opened.port), 5).close()
    closed = SelfHosted(tmp_path, [sys.executable, *recipe[1].split()])
    del closed.settings["PORT"], closed.settings["ALLOWED_NETWORKS"]
    (tmp_path / ".env").write_text(f"PORT={closed.port}\nALLOWED_NETWORKS=10.0.0.0/8\nMAX_BYTE=5TB\n")
    with closed:
        assert f"http://127.0.0.1:{closed.port} " in closed.output
        assert "  note:  MAX_BYTE is no setting; did you mean MAX_BYTES?\n" in closed.output
        assert ServerClient(closed.port).post("url=http://127.0.0.1:9/").status == 422
        assert ServerClient(closed.port).post("url=http://10.0.0.1:9/").status == 202


def test_the_banner_tells_where_everything_is_and_what_to_type(service: SelfHosted) -> None:
    shown = service.output
    assert f"urlsum is listening on http://127.0.0.1:{service.port} " in shown
    assert "sqlite:///data/urlsum.db" in shown
    assert (service.folder / "data" / "urlsum.db").is_file()
    assert "outbox/" in shown
    assert (service.folder / "outbox").is_dir()
    assert "  note:  CONTACT is not set, so the operators" in shown
    [line] = [line.strip() for line in shown.splitlines() if line.strip().startswith("curl ")]
    assert re.fullmatch(rf"curl -d url=https://\S+ http://127\.0\.0\.1:{service.port}/submit", line)
    # The banner, and nothing of the libraries.
    assert shown.strip().startswith("urlsum is listening on")
    assert shown.strip().endswith("at the next start.")


@pytest.mark.parametrize(
    ("number", "group", "times"),
    [(signal.SIGINT, True, 1), (signal.SIGINT, True, 3), (signal.SIGTERM, False, 1), (signal.SIGTERM, True, 1)],
    ids=["Ctrl-C", "Ctrl-C thrice", "SIGTERM", "SIGTERM to all"],
)
def test_a_stop_in_the_middle_is_quick_and_quiet_and_the_next_start_goes_on(
    service: SelfHosted, slow: PacedOrigin, number: int, group: bool, times: int
) -> None:
    task_id = service.submit(slow.url, RECIPIENT)
    workers = service.running_workers()
    half_way(service, slow, task_id)
    assert service.end(number, group=group, times=times) < STOP_SECONDS
    assert service.process.returncode == 0
    assert not any(map(alive, workers))
    assert clean(service.output), service.output
    assert "restarting" not in service.output
    sent, slow.rate = slow.sent, None
    service.start()
    told = service.finished(task_id)
    assert told["md5"] == slow.md5
    # A stop loses nothing: the last checkpoint is where the worker stopped.
    first, second, *beside = slow.starts
    assert (first, second > slow.size / 3) == (0, True)
    assert sent - second < 2 * MIB
    assert all(start > second for start in beside)  # a second connection may read the rest's last parts
    wait_until(lambda: len(service.mails()) == 1, 10, lambda: service.output)


@pytest.mark.parametrize("database", ["sqlite", "mysql"], indirect=True)
def test_one_click_on_the_link_of_an_email_ends_all_email_to_the_mailbox(
    tmp_path: Path, database: dict[str, str]
) -> None:
    """The worker's process makes the link, the server's checks it, and neither was given a secret."""
    service = PreloadedSelfHosted(tmp_path, **database, **ONE_WORKER)
    service.settings["PUBLIC_URL"] = service.base
    with service, PacedOrigin(BLOCK, MIB) as origin:
        service.finished(service.submit(origin.url, RECIPIENT))
        wait_until(lambda: len(service.mails()) == 1, 10, lambda: service.output)
        [mail] = service.mails()
        link = re.fullmatch(rf"<{service.base}(/unsubscribe\?token=\S+)>", mail["List-Unsubscribe"])
        assert link is not None, mail["List-Unsubscribe"]
        assert f"\n{service.base}{link[1]}\n" in mail.get_content()
        client = ServerClient(service.port)
        assert client.request("GET", link[1]).json() == {"suppressed": False}
        assert client.request("POST", link[1], b"List-Unsubscribe=One-Click").json() == {"suppressed": True}
        task_id = service.submit(origin.url, RECIPIENT.replace("@", "%2Bagain@"))
        assert service.finished(task_id)["md5"] == origin.md5
        wait_until(lambda: f"{task_id}: email suppressed: unsubscribed" in service.output, 10, lambda: service.output)
        assert len(service.mails()) == 1


def test_a_stop_while_the_worker_still_starts_is_as_quiet(service: SelfHosted) -> None:
    workers = service.running_workers()
    assert service.end() < STOP_SECONDS
    assert service.process.returncode == 0
    assert not any(map(alive, workers))
    assert clean(service.output), service.output


def test_neither_a_silent_origin_nor_a_silent_client_delays_the_stop(service: SelfHosted, slow: PacedOrigin) -> None:
    task_id = service.submit(slow.url)
    workers = service.running_workers()
    half_way(service, slow, task_id)
    slow.held.set()
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(b"POST /submit HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nurl=")
        wait_until(lambda: service.check("x").status == 404, 10, lambda: service.output)
        assert service.end() < STOP_SECONDS
    assert service.process.returncode == 0
    assert not any(map(alive, workers))
    assert "Traceback" not in service.output, service.output
    slow.held.clear()
    slow.rate = None
    service.start()
    assert service.finished(task_id)["md5"] == slow.md5
    assert slow.starts[1] > slow.size / 3


def test_killed_workers_are_started_again_and_reread_at_most_one_interval(
    tmp_path: Path, database: dict[str, str], slow: PacedOrigin
) -> None:
    with PreloadedSelfHosted(tmp_path, **database) as service:
        task_id = service.submit(slow.url, RECIPIENT)
        workers = service.running_workers()
        half_way(service, slow, task_id)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        sent, slow.rate = slow.sent, None
        service.running_workers(other_than=workers)
        assert service.finished(task_id)["md5"] == slow.md5
        assert "a worker exited with status -9; restarting it" in service.output
        first, second, *beside = slow.starts
        assert (first, second > slow.size / 3) == (0, True)
        assert all(start > second for start in beside)
        # A quarter of a second is 2 MiB; as much again for a machine that is busy with other things.
        assert sent - second < 4 * MIB
        wait_until(lambda: len(service.mails()) == 1, 10, lambda: service.output)


def test_a_killed_server_takes_its_workers_along_and_loses_nothing(service: SelfHosted, slow: PacedOrigin) -> None:
    task_id = service.submit(slow.url)
    workers = service.running_workers()
    half_way(service, slow, task_id)
    service.end(signal.SIGKILL, group=False)
    wait_until(lambda: not any(map(alive, workers)), STOP_SECONDS, lambda: service.output)
    slow.rate = None
    service.start()
    assert service.finished(task_id)["md5"] == slow.md5
    assert slow.starts[1] > slow.size / 3


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_the_worker_stays_small_however_large_the_file(service: SelfHosted) -> None:
    with PacedOrigin(BLOCK, 256 * MIB) as origin:
        told = service.finished(service.submit(origin.url, RECIPIENT), 60)
        assert told["md5"] == origin.md5
        assert max(map(peak_mebibytes, service.running_workers())) < 120


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("DATABASE_URI", "mysql+pymysql://user:hunter2@127.0.0.1:1/urlsum"),  # nothing listens on port 1
    ],
)
def test_a_wrong_setting_stops_it_at_start_with_one_line_that_names_it(tmp_path: Path, name: str, value: str) -> None:
    refused(SelfHosted(tmp_path, **{name: value}), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_BYTES", "10 parsecs"),
        ("MAIL_FROM", "nobody"),
        ("SSL_CERT_FILE", "no-such-file.pem"),
        ("OUTBOX_DIR", "/dev/null/outbox"),
        ("DATABASE_URI", "postgresql://user:hunter2@host/urlsum"),
        ("DATABASE_URI", "sqlite:////dev/null/urlsum.db"),
    ],
)
def test_any_wrong_setting_is_an_error_before_anything_starts(
    tmp_path: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process: the one above shows what the server prints of it, and each start takes 0.7 s of a core."""
    monkeypatch.chdir(tmp_path)
    for setting, chosen in SelfHosted(tmp_path, **{name: value}).settings.items():
        monkeypatch.setenv(setting, chosen)
    with pytest.raises(SettingsError, match=rf"^{name}: [^\n]*\Z") as error:
        server.serve()
    assert "hunter2" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"localhost:{port}" in refused(PreloadedSelfHosted(tmp_path, PORT=port), "PORT")


def test_a_host_of_another_machine_is_said_in_one_line(tmp_path: Path) -> None:
    assert "192.0.2.1: " in refused(PreloadedSelfHosted(tmp_path, HOST="192.0.2.1"), "HOST")


def refused(service: SelfHosted, name: str) -> str:
    with pytest.raises(AssertionError):
        service.start()
    assert service.process.returncode == 2
    shown = service.output
    assert len(shown.splitlines()) == 1, shown
    assert shown.startswith(f"urlsum: {name}: ")
    assert "hunter2" not in shown
    return shown


@pytest.mark.skipif(not (Path(sys.prefix) / ".installed").exists(), reason="this Python is not one that make set up")
def test_make_run_is_all_there_is_to_type(tmp_path: Path) -> None:
    # Its own folder is the repository, so what it writes is pointed elsewhere; and the loopback is opened by make.
    written = {"DATABASE_URI": f"sqlite:///{tmp_path}/urlsum.db", "OUTBOX_DIR": f"{tmp_path}/outbox"}
    service = SelfHosted(tmp_path, ["make", "-s", "-C", str(ROOT), f"VENV={sys.prefix}", "run"], **written)
    # make may have to install something first, and pip has warnings of its own.
    del service.settings["ALLOWED_NETWORKS"], service.settings["PYTHONWARNINGS"]
    with service, PacedOrigin(BLOCK, 5 * MIB) as origin:
        smoke(service.base, origin.url, origin.md5, RECIPIENT)
        workers = service.running_workers()
        wait_until(lambda: len(service.mails()) == 1, 10, lambda: service.output)
        assert service.end() < STOP_SECONDS
        assert not any(map(alive, workers))
        assert clean(service.output), service.output
