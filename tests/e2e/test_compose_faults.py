"""A container whose disk is full: what Docker is shown of it, what it logs, and that it goes on by itself.

The other faults of stores and mail servers need no container: tests/e2e/test_outages.py.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from scripts.sam_local import free_port
from tests.support.processes.containers import ROOT, build, docker, eventually, inspect, logs, need_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

IMAGE = "urlsum-test-faults:latest"
SECONDS_OF_OUTAGE = 15.0
# Server and two or more workers, a line of some 120 characters in ten seconds each, and one for each that begins.
LOGGED_BYTES = 10_000


class Service:
    """One container with SQLite on a small disk."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        # Of the image's user; a tmpfs is root's otherwise.
        options = ["--tmpfs", "/data:size=3m,uid=10001,gid=10001", "--health-interval", "1s", "--health-retries", "2"]
        docker("run", "--detach", "--name", name, "-p", f"127.0.0.1:{self.port}:5000", *options, IMAGE)

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = inspect(self.name)["State"]["Health"]
        return found

    def is_healthy(self) -> bool:
        return bool(self.health()["Status"] == "healthy")

    def output(self) -> str:
        return logs(self.name)

    def submit(self) -> httpx.Response:
        return httpx.post(f"{self.base}/submit", data={"url": "https://example.org/f"}, timeout=30)


@pytest.fixture
def service() -> Iterator[Service]:
    need_engine()
    build(IMAGE, ROOT)
    made = Service(f"urlsum-test-{uuid.uuid4().hex[:8]}")
    try:
        yield made
    finally:
        log.info("%s", made.output())
        docker("rm", "--force", "--volumes", made.name, check=False)
        docker("rmi", IMAGE, check=False)


def test_a_full_disk_is_unhealthy_and_hardly_logged_and_passes(service: Service) -> None:
    eventually(service.is_healthy, 60, what="healthy")
    docker("exec", service.name, "sh", "-c", "cat /dev/zero > /data/filler 2>/dev/null", check=False)
    eventually(lambda: service.health()["Status"] == "unhealthy", 60, what="unhealthy")
    assert "the table does not accept writes" in service.health()["Log"][-1]["Output"]
    before = len(service.output())
    until, refused = time.monotonic() + SECONDS_OF_OUTAGE, 0
    while time.monotonic() < until:
        response = service.submit()
        assert (response.status_code, response.json()["type"]) == (503, "urn:urlsum:problem:unavailable")
        assert httpx.get(f"{service.base}/check", params={"id": "x"}).status_code == 404  # reads are answered
        refused += 1
    logged = service.output()[before:]
    log.info("%d refused, %d bytes logged: %s", refused, len(logged), json.dumps(logged[:500]))
    assert "Traceback" not in logged
    assert len(logged) < LOGGED_BYTES
    docker("exec", service.name, "rm", "/data/filler")
    eventually(service.is_healthy, 60, what="healthy again")
    eventually(lambda: "the table works again: " in service.output(), 60, what="a line at the end")
    assert service.submit().status_code == 202
