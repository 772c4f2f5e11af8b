"""What operators see of a store or a mail server that fails: who waits, what is logged, whether it is healthy."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from redis import Redis
from redis.exceptions import RedisError

from scripts.sam_build import ROOT
from scripts.sam_local import free_port
from selfhost.worker_processes import cores
from tests.support.origin import range_server
from tests.support.processes.selfhosted import ONE_WORKER, PreloadedSelfHosted, SelfHosted, wait_until
from tests.support.stores.every_queue import REDIS, redis_rig
from tests.support.stores.relay import relayed
from tests.support.stores.smtp import HANG, ScriptedServer, scripted_server
from tests.support.stores.tables import execute, mysql_database
from tests.support.web.clients import Answer, ServerClient
from urlsum.health.meeting import EVICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stores.every_queue import RedisRig

log = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(240)

# A newcomer's task behind a hundred emails to a dead server. Behind a single one it would wait for 30 s, so of these
# newcomers all would: the quickest of three passes over the moments in which a busy machine stands still.
NEWCOMER_SECONDS = 5.0
NEWCOMERS = 3
MAIL = {"MAIL_BACKEND": "smtp", "MAIL_SERVER": "127.0.0.1", "MAIL_USE_TLS": "false"}
UNLIMITED = {"RECIPIENT_EMAILS_PER_DAY": "0"}


@pytest.fixture
def origin() -> Iterator[str]:
    with range_server.serving() as base:
        yield base


def health(service: SelfHosted) -> tuple[int, list[str]]:
    answer = ServerClient(service.port).request("GET", "/healthz")
    return answer.status, answer.json()["faults"]


def submit_emails(service: SelfHosted, origin: str, count: int) -> None:
    for number in range(count):
        service.submit(f"{origin}/{1000 + number}/0/file", email="a@abc.ru")


def newcomer_waits(service: SelfHosted, origin: str) -> float:
    """The seconds that the quickest of some newcomers waits, who come one after the other."""
    waits = []
    for number in range(NEWCOMERS):
        began = time.monotonic()
        service.finished(service.submit(f"{origin}/{77 + number}/0/file"), 60)
        waits.append(time.monotonic() - began)
    log.info("newcomers waited %s s", ", ".join(f"{wait:.2f}" for wait in waits))
    return min(waits)


def mail_at(server: ScriptedServer) -> dict[str, str]:
    return {**MAIL, **UNLIMITED, "MAIL_PORT": str(server.port)}


@pytest.mark.parametrize("silent", ["connect", "."], ids=["from the start", "after the whole email"])
def test_behind_a_hundred_emails_to_a_silent_server_a_newcomer_waits_no_longer(
    tmp_path: Path, origin: str, silent: str
) -> None:
    with scripted_server({silent: HANG}) as server, PreloadedSelfHosted(tmp_path, **mail_at(server)) as service:
        submit_emails(service, origin, 100)
        wait_until(lambda: _hashed(service) >= 100, 60, lambda: service.output)
        assert newcomer_waits(service, origin) < NEWCOMER_SECONDS
        # A quarter of the slots, and at least one of each process.
        assert sum(command.upper() == "DATA" for command in server.commands) <= max(2, cores())


def _hashed(service: SelfHosted) -> int:
    return service.output.count(": done at ")


@pytest.fixture
def rig() -> Iterator[RedisRig]:
    with redis_rig() as made:
        yield made


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("silent", ["connect", "."], ids=["from the start", "after the whole email"])
def test_one_rq_worker_is_not_held_by_a_silent_mail_server_either(
    tmp_path: Path, origin: str, rig: RedisRig, silent: str
) -> None:
    redis = {"REDIS_URL": REDIS, "TASKS_QUEUE_NAME": rig.rq.name}
    with scripted_server({silent: HANG}) as server, SelfHosted(tmp_path, **redis, **mail_at(server)) as service:
        command = [str(Path(sys.executable).with_name("rq")), "worker", "-u", REDIS, rig.rq.name]
        environment = {**os.environ, **service.settings}
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as worker:
            try:
                submit_emails(service, origin, 100)
                wait_until(lambda: rig.redis.count_waiting(60).first == 0, 300, lambda: service.output)
                assert newcomer_waits(service, origin) < NEWCOMER_SECONDS
            finally:
                worker.kill()


def test_an_outage_of_the_table_is_a_few_lines_and_unhealthy_until_it_is_over(tmp_path: Path) -> None:
    with mysql_database() as uri, relayed(address(uri)) as relay:
        through = sa.make_url(uri).set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
        with PreloadedSelfHosted(tmp_path, DATABASE_URI=through) as service:
            wait_until(lambda: health(service) == (200, []), 20, lambda: service.output)
            relay.refuse()
            before = len(service.output)
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda _: post(service), range(100)))
            assert {answer.status for answer in answers} == {503}
            wait_until(lambda: health(service)[0] == 503, 20, lambda: service.output)
            assert health(service)[1] == ["the table does not answer"]
            written = service.output[before:]
            assert "Traceback" not in written
            # Server and workers write a line in ten seconds each; the test takes some of these.
            assert len(written) < 6000, written
            relay.accept()
            wait_until(lambda: health(service) == (200, []), 30, lambda: service.output)
            wait_until(lambda: "the table works again: " in service.output, 30, lambda: service.output)


def post(service: SelfHosted) -> Answer:
    return ServerClient(service.port).post("url=https://example.org/f")


def address(uri: str) -> tuple[str, int]:
    url = sa.make_url(uri)
    return url.host or "127.0.0.1", url.port or 3306


@contextmanager
def own_user(uri: str) -> Iterator[str]:
    """Yield the URI of a user that has all rights on this database only."""
    url = sa.make_url(uri)
    name = f"u{uuid.uuid4().hex[:12]}"
    execute(uri, f"CREATE USER {name}@'%%' IDENTIFIED BY 'x'")
    try:
        execute(uri, f"GRANT ALL ON {url.database}.* TO {name}@'%%'")
        yield url.set(username=name, password="x").render_as_string(hide_password=False)
    finally:
        execute(uri, f"DROP USER {name}@'%%'")


def make_read_only(uri: str, user: str) -> None:
    name = sa.make_url(user).username
    execute(uri, f"REVOKE INSERT, UPDATE, DELETE ON {sa.make_url(uri).database}.* FROM {name}@'%%'")
    for (connection,) in execute(uri, f"SELECT id FROM information_schema.processlist WHERE user = '{name}'"):
        execute(uri, f"KILL {connection}")


def assert_unhealthy(service: SelfHosted, fault: str, *, make: Callable[[], object] = lambda: None) -> None:
    """Reads are answered; only /healthz, and Docker's check, say what is wrong, and submissions are refused.

    ``make`` causes the fault again and again.
    """
    command = [sys.executable, "-m", "selfhost.health", "server"]
    environment = {**os.environ, **service.settings}
    with repeated(make):
        wait_until(lambda: health(service) == (503, [fault]), 30, lambda: service.output)
        checked = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout) == (1, f"{fault}\n")
        answer = post(service)
        assert (answer.status, answer.json()["type"]) == (503, "urn:urlsum:problem:unavailable")


@contextmanager
def repeated(make: Callable[[], object]) -> Iterator[None]:
    """``make`` runs over and over in a thread meanwhile, at least once before."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.01):
            make()

    make()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_database_that_is_read_only_is_unhealthy(tmp_path: Path) -> None:
    with (
        mysql_database() as uri,
        own_user(uri) as user,
        PreloadedSelfHosted(tmp_path, **ONE_WORKER, DATABASE_URI=user) as service,
    ):
        assert health(service) == (200, [])
        make_read_only(uri, user)
        assert_unhealthy(service, "the table does not accept writes")
        assert service.check(str(uuid.uuid4())).status == 404


def test_a_redis_that_is_elsewhere_is_unhealthy(tmp_path: Path) -> None:
    with PreloadedSelfHosted(tmp_path, REDIS_URL="redis://127.0.0.1:9/0") as service:
        assert_unhealthy(service, "the queue does not answer")


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server here")
@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_a_full_redis_refuses_or_the_log_warns_of_what_it_deletes(tmp_path: Path, policy: str) -> None:
    port = free_port()
    options = ["--port", str(port), "--save", "", "--maxmemory", "3mb", "--maxmemory-policy", policy]
    with subprocess.Popen(["redis-server", *options], cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        try:
            redis = Redis(port=port)
            wait_until(lambda: answers(redis), 20, lambda: "")
            with PreloadedSelfHosted(tmp_path, REDIS_URL=f"redis://127.0.0.1:{port}/0") as service:
                wait_until(lambda: health(service) == (200, []), 20, lambda: service.output)
                if policy == "noeviction":
                    # What its clients' buffers took is free again in a moment.
                    assert_unhealthy(service, "the queue does not accept messages", make=lambda: fill(redis))
                    assert EVICTS.partition("(")[0] not in service.output
                else:  # it takes what comes, and the sweep sends again what it has deleted
                    warning = EVICTS.format(policy)
                    assert ServerClient(service.port).request("GET", "/healthz").json()["warnings"] == [warning]
                    wait_until(lambda: warning in service.output, 20, lambda: service.output)
                    fill(redis)
                    assert post(service).status == 202
        finally:
            server.kill()


def answers(redis: Redis) -> bool:
    with suppress(RedisError):
        return bool(redis.ping())
    return False


def fill(redis: Redis) -> None:
    for size in (10_000, 1000, 100, 10):  # until not even a small value fits
        with suppress(RedisError):
            for number in range(2000):
                redis.set(f"filler {size} {number}", "x" * size)
