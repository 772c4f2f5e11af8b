"""The server and stock `rq worker` processes on one machine: what `make run`, REDIS_URL and `rq worker` give."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest

from scripts.sam_local import free_port
from selfhost import health
from selfhost.migrate import upgrade
from tests.support.origin import range_server
from tests.support.processes.preloaded import AVAILABLE, RQ, SERVER, Preloaded
from tests.support.stores.every_queue import REDIS, redis_rig
from tests.support.stores.tables import execute
from tests.support.web.clients import ServerClient
from urlsum import settings
from urlsum.health import KEPT_SECONDS
from urlsum.health.meeting import ELSEWHERE, SHARED, UNATTENDED
from urlsum.tables.sql import SqlTaskTable
from urlsum.tables.sql_database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stores.every_queue import RedisRig

pytestmark = pytest.mark.timeout(120)

Process = subprocess.Popen[bytes] | Preloaded

ROOT = Path(__file__).parents[2]
MIB = 2**20


@dataclass
class System:
    """One server, and as many workers as a test starts."""

    client: ServerClient
    environment: dict[str, str]
    rig: RedisRig
    table: SqlTaskTable
    output: Path
    workers: list[Process] = field(default_factory=list)

    def submit(self, url: str, **fields: str) -> str:
        answer = self.client.post(urlencode({"url": url, **fields}))
        assert answer.status == 202, answer.body
        task_id: str = answer.json()["id"]
        return task_id

    def check(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.request("GET", f"/check?id={task_id}").json()
        return found

    def done(self, task_id: str, *, within: float = 30) -> dict[str, Any]:
        eventually(lambda: self.check(task_id)["status"] in ("done", "failed"), within)
        return self.check(task_id)

    def hashed(self, task_id: str, count: int) -> None:
        """Wait until ``count`` bytes are in a checkpoint."""
        eventually(lambda: self.table.get(task_id).offset >= count)

    def start_worker(self, *, stock: bool = False) -> Process:
        """Start a worker: with ``stock`` by its command, else with its modules imported already."""
        arguments = ["worker", "-u", REDIS, self.rig.rq.name]
        worker: Process
        if stock or not AVAILABLE:
            command = [str(Path(sys.executable).with_name("rq")), *arguments]
            worker = subprocess.Popen(command, cwd=ROOT, env=self.environment, start_new_session=True)
        else:
            worker = Preloaded(RQ, ROOT, self.environment, self.output, *arguments)
        self.workers.append(worker)
        return worker


def eventually(holds: Callable[[], bool], within: float = 30) -> None:
    limit = time.monotonic() + within
    while not holds():
        assert time.monotonic() < limit, "not within the time it was given"
        time.sleep(0.05)


def children(parent: Process) -> list[int]:
    tasks = Path(f"/proc/{parent.pid}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


@pytest.fixture
def origin() -> Iterator[str]:
    with range_server.serving() as base:
        yield base


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    port = free_port()
    with redis_rig() as rig, ExitStack() as stack:
        environment = {
            **os.environ,
            "REDIS_URL": REDIS,
            "TASKS_QUEUE_NAME": rig.rq.name,
            "DATABASE_URI": f"sqlite:///{tmp_path}/urlsum.db",
            "OUTBOX_DIR": str(tmp_path / "outbox"),
            "PORT": str(port),
            "ALLOWED_NETWORKS": "127.0.0.0/8",
            # As short as they can be, so that a lease lapses within the patience of a test.
            "CHECKPOINT_SECONDS": "0.5",
            "CONNECT_TIMEOUT": "1",
            "READ_TIMEOUT": "2",
            "LEASE_SECONDS": "4",
            "SWEEP_SECONDS": "1",
            "RETRY_BASE_SECONDS": "1",
            "MAX_ATTEMPTS": "3",
        }
        output = tmp_path / "output.txt"
        server: Process
        if AVAILABLE:
            server = Preloaded(SERVER, ROOT, environment, output)
        else:
            server = subprocess.Popen([sys.executable, "-m", SERVER], cwd=ROOT, env=environment)
        database = Database(environment["DATABASE_URI"])
        stack.callback(database.close)
        made = System(ServerClient(port), environment, rig, SqlTaskTable(database), output)
        stack.callback(_end, [server])
        stack.callback(_end, made.workers)
        eventually(lambda: _answers(made.client))
        yield made


def _end(processes: list[Process]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(client: ServerClient) -> bool:
    try:
        return client.request("GET", "/check?id=x").status == 404
    except OSError:
        return False


def test_a_stock_worker_hashes_and_mails(system: System, origin: str) -> None:
    system.start_worker(stock=True)
    task_id = system.submit(f"{origin}/{3 * MIB + 1}/0/file", email="someone@example.org")
    assert system.done(task_id)["md5"] == range_server.md5(3 * MIB + 1)
    outbox = Path(system.environment["OUTBOX_DIR"])
    eventually(lambda: len(list(outbox.glob("*.eml"))) == 1)
    assert range_server.md5(3 * MIB + 1) in next(outbox.glob("*.eml")).read_text()
    # Nothing is left in Redis: neither the message nor its result.
    eventually(lambda: not system.rig.rq.started_job_registry.get_job_ids())
    assert len(system.rig.rq) == 0
    assert system.rig.rq.failed_job_registry.get_job_ids() == []


def test_the_server_starts_no_worker_of_its_own(system: System, origin: str) -> None:
    task_id = system.submit(f"{origin}/1/0/file")
    time.sleep(2)  # an embedded worker looks twice a second
    assert system.check(task_id)["status"] == "queued"
    assert len(system.rig.rq) >= 1


def test_a_worker_that_is_told_to_stop_hands_its_task_to_another(system: System, origin: str) -> None:
    first = system.start_worker()
    task_id = system.submit(f"{origin}/{12 * MIB}/{3 * MIB}/file")
    system.hashed(task_id, 3 * MIB)
    begin = time.monotonic()
    first.terminate()
    assert first.wait(10) == 0
    assert time.monotonic() - begin < 5
    stopped = system.table.get(task_id)
    assert stopped.lease_until == 0  # given back, not left to lapse
    assert stopped.offset > 3 * MIB
    assert (stopped.attempts, stopped.error) == (0, None)  # being told to stop is no failure
    second = system.start_worker()
    system.hashed(task_id, stopped.offset + 1)
    assert system.done(task_id)["md5"] == range_server.md5(12 * MIB)
    starts = httpx.get(f"{origin}/starts").json()
    assert starts[0] == 0
    assert starts.count(0) == 1  # nothing was begun again
    assert stopped.offset in starts or min(starts[1:]) >= stopped.offset - 65536
    assert second.poll() is None


def test_a_task_whose_worker_is_killed_goes_on_elsewhere(system: System, origin: str) -> None:
    first = system.start_worker()
    task_id = system.submit(f"{origin}/{8 * MIB}/{2 * MIB}/file")
    system.hashed(task_id, 2 * MIB)
    # The worker and the process that it forked for the job, as an out-of-memory kill or a power cut ends them.
    for pid in [first.pid, *children(first)]:
        os.kill(pid, signal.SIGKILL)
    first.wait()
    system.start_worker()
    assert system.done(task_id, within=60)["md5"] == range_server.md5(8 * MIB)
    assert httpx.get(f"{origin}/starts").json().count(0) == 1


def test_a_killed_job_goes_on_in_the_same_worker(system: System, origin: str) -> None:
    worker = system.start_worker()
    task_id = system.submit(f"{origin}/{8 * MIB}/{2 * MIB}/file")
    system.hashed(task_id, 2 * MIB)
    [horse] = children(worker)
    os.kill(horse, signal.SIGKILL)
    assert system.done(task_id, within=60)["md5"] == range_server.md5(8 * MIB)
    assert worker.poll() is None


def test_tasks_outlive_the_loss_of_all_that_redis_held(system: System, origin: str) -> None:
    waiting = system.submit(f"{origin}/{MIB}/0/file")
    # FLUSHALL, but for this test's keys only: others may use the same Redis.
    for job in system.rig.rq.jobs:
        job.delete()
    system.rig.rq.delete()
    system.start_worker()
    assert system.done(waiting, within=60)["md5"] == range_server.md5(MIB)


def test_a_long_task_goes_from_slice_to_slice(system: System, origin: str) -> None:
    system.environment["SLICE_SECONDS"] = "2"
    system.start_worker()
    task_id = system.submit(f"{origin}/{8 * MIB}/{2 * MIB}/file")
    assert system.done(task_id)["md5"] == range_server.md5(8 * MIB)
    assert system.table.get(task_id).slices >= 2


def test_a_retry_waits_and_needs_no_scheduler(system: System) -> None:
    system.start_worker()  # the original's own command: no --with-scheduler
    task_id = system.submit(f"http://127.0.0.1:{free_port()}/nobody")
    assert system.done(task_id)["error"]["code"] == "connect"
    assert system.table.get(task_id).error is not None


def test_settings_can_come_from_the_module_for_rq(system: System, origin: str) -> None:
    command = [str(Path(sys.executable).with_name("rq")), "worker", "-c", "selfhost.rq_config"]
    system.workers.append(subprocess.Popen(command, cwd=ROOT, env=system.environment, start_new_session=True))
    assert system.done(system.submit(f"{origin}/7/0/file"))["md5"] == range_server.md5(7)


def test_a_wrong_setting_stops_rq_with_one_line(system: System) -> None:
    command = [str(Path(sys.executable).with_name("rq")), "worker", "-c", "selfhost.rq_config"]
    ended = subprocess.run(
        command, cwd=ROOT, env={**system.environment, "LEASE_SECONDS": "0"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("urlsum: LEASE_SECONDS: ")
    assert ended.stderr.count("\n") == 1


@pytest.fixture
def check_worker(
    system: System, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """What ``python -m selfhost.health worker`` prints and ends with; in this process, which saves its start."""

    def check(**changes: str) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            for name, value in (system.environment | changes).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["health", "worker"])
            settings.load.cache_clear()
            status = health.main()
        settings.load.cache_clear()
        return status, capsys.readouterr().out

    return check


def test_health_tells_a_worker_that_redis_answers(system: System, check_worker: Callable[..., tuple[int, str]]) -> None:
    healthy = check_worker
    command = [sys.executable, "-m", "selfhost.health", "worker"]
    ended = subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "healthy\n")
    assert healthy() == (0, "healthy\n")
    assert healthy(REDIS_URL="") == (1, "REDIS_URL is not set\n")
    status, line = healthy(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert status == 1
    assert line == "the queue does not answer\n"
    status, line = healthy(DATABASE_URI="mysql+pymysql://urlsum@127.0.0.1:9/urlsum")
    assert status == 1
    assert line == "the table does not answer\n"


def test_health_names_a_worker_whose_redis_or_table_is_not_the_servers(
    system: System, check_worker: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """Another database of the same Redis answers, too: the worker listens there, and the server sends here."""

    def found(**changes: str) -> tuple[int, str]:
        status, line = check_worker(**changes)
        return status, line.strip()

    # The server has done its first round.
    eventually(lambda: system.rig.rq.connection.exists(f"urlsum:servers:{system.rig.rq.name}") == 1)
    assert found() == (0, "healthy")
    eventually(lambda: found(REDIS_URL=REDIS.rpartition("/")[0] + "/10") == (1, ELSEWHERE))
    assert found(TASKS_QUEUE_NAME=f"{system.rig.rq.name}-elsewhere") == (1, ELSEWHERE)
    another = f"sqlite:///{tmp_path}/another.db"
    upgrade(another)
    assert found(DATABASE_URI=another) == (1, SHARED)
    # A loss of data in Redis is none of these.
    system.rig.rq.connection.delete(f"urlsum:servers:{system.rig.rq.name}")
    eventually(lambda: found() == (0, "healthy"))


def test_the_server_names_messages_that_no_worker_takes_until_one_comes(system: System, origin: str) -> None:
    def found() -> dict[str, Any]:
        answer: dict[str, Any] = system.client.request("GET", "/healthz").json()
        return answer

    task_id = system.submit(f"{origin}/7/0/file")
    # LEASE_SECONDS later.
    eventually(lambda: found() == {"healthy": True, "faults": [], "warnings": [UNATTENDED]})
    command = [sys.executable, "-m", "selfhost.health", "server"]
    ended = subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"healthy; {UNATTENDED}\n")
    system.start_worker()
    assert system.done(task_id)["status"] == "done"
    eventually(lambda: found()["warnings"] == [])


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (b"python\0-m\0selfhost.server\0--host\x000.0.0.0\0", "server"),
        (b"/app/venv/bin/python\0/app/venv/bin/rq\0worker\0", "worker"),  # a script names its interpreter first
        (b"/sbin/docker-init\0--\0rq\0worker\0", "worker"),
        (b"python\0-m\0selfhost.worker\0", "worker"),
        (b"sh\0", None),
    ],
)
def test_health_knows_what_a_container_is_from_its_first_process(command: bytes, kind: str | None) -> None:
    assert health.kind(command) == kind


@pytest.mark.parametrize(
    ("command", "url"),
    [
        (b"python\0rq\0worker\0-u\0redis://r:6379/0\0tc-tasks\0", "redis://r:6379/0"),
        (b"python\0rq\0worker\0--url=redis://r/1\0", "redis://r/1"),
        (b"python\0rq\0worker\0", None),
        (b"python\0-u\0-m\0selfhost.worker\0", None),
    ],
)
def test_health_asks_the_redis_that_the_worker_listens_to(command: bytes, url: str | None) -> None:
    assert health._url(command) == url


def test_health_tells_a_server_that_reaches_its_table(system: System) -> None:
    command = [sys.executable, "-m", "selfhost.health", "server"]
    ended = subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "healthy\n")
    execute(system.environment["DATABASE_URI"], "DROP TABLE tasks")
    # The last look may be as old as this.
    time.sleep(KEPT_SECONDS)
    ended = subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "the table does not answer\n")
