"""GET /metrics: the tasks in the table, for Prometheus, off AWS.

They are counted by two statements, at most every ten seconds: a table of 100,000 tasks takes a tenth of a second.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from starlette.exceptions import HTTPException

from urlsum import wiring
from urlsum.tables.sql import tasks
from urlsum.tables.sql_database import Database
from urlsum.task import Mail, Status
from urlsum.web.client import UNKNOWN, client_of
from urlsum.wiring import Services  # noqa: TC001 - FastAPI resolves the annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from urlsum.settings import Settings

router = APIRouter()

# Prometheus asks every 15 s or more seldom, and every one of its servers gets the same figures.
KEPT_SECONDS = 10.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTS = sa.select(
    tasks.c.status,
    tasks.c.error_code,
    tasks.c.mail,
    sa.func.count().label("tasks"),
    sa.func.coalesce(sa.func.sum(tasks.c.received), 0).label("bytes"),
).group_by(tasks.c.status, tasks.c.error_code, tasks.c.mail)
_OLDEST = sa.select(sa.func.min(tasks.c.due_at).label("due_at"), sa.func.count().label("tasks")).where(
    tasks.c.due_at <= sa.bindparam("now")
)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request, services: Annotated[Services, Depends(wiring.provided)]) -> Response:
    """Respond with the figures to those who may see them; to all others there is no such path."""
    if not _may_see(request, services.settings):
        raise HTTPException(404)
    lines = list(_gauge("urlsum_healthy", "Whether table and queue work.", {"": int(not services.health().faults)}))
    if services.settings.tasks_table is None:
        lines += figures(services.settings.database_uri)()
    return Response("\n".join([*lines, ""]), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _may_see(request: Request, settings: Settings) -> bool:
    """Whether the request comes from this machine and through no proxy, or from one of METRICS_NETWORKS."""
    client = client_of(request, settings)
    if client.subject is None:
        return True
    if client.address == UNKNOWN:
        return False
    address = ip_address(client.address)
    return any(address in network for network in settings.metrics_networks)


@cache
def figures(database_uri: str) -> Figures:
    """The figures of one database; a process has one."""
    return Figures(Database(database_uri))


class Figures:
    """What the table says, as lines of the text format. Safe for threads."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: list[str] = []
        self._kept_until = float("-inf")

    def __call__(self) -> list[str]:
        """The lines now, or at most KEPT_SECONDS ago. Raises TableUnavailable."""
        with self._lock:
            if self._monotonic() >= self._kept_until:
                self._kept = list(self._read())
                self._kept_until = self._monotonic() + KEPT_SECONDS
            return self._kept

    def _read(self) -> Iterable[str]:
        now = self._clock()
        rows = self._database.read(_COUNTS, {})
        [oldest] = self._database.read(_OLDEST, {"now": now})
        states, emails = Counter[str](), Counter[str]()
        failures = Counter[str]()
        for row in rows:
            states[row["status"]] += row["tasks"]
            emails[row["mail"]] += row["tasks"]
            if row["status"] == Status.FAILED:
                failures[row["error_code"]] += row["tasks"]
        age = 0.0 if oldest["due_at"] is None else max(0.0, now - float(oldest["due_at"]))
        yield from _gauge("urlsum_tasks", "Tasks in the table.", {s.value: states[s] for s in Status}, "status")
        yield from _gauge("urlsum_failures", "Failed tasks in the table.", failures, "code")
        known = [mail.value for mail in Mail if mail is not Mail.NONE]
        yield from _gauge("urlsum_emails", "Emails of the tasks.", {mail: emails[mail] for mail in known}, "state")
        read = sum(int(row["bytes"]) for row in rows)
        yield from _gauge("urlsum_read_bytes", "Bytes that origins sent for these tasks.", {"": read})
        yield from _gauge("urlsum_due_tasks", "Tasks that a worker could take now.", {"": oldest["tasks"]})
        yield from _gauge("urlsum_queue_age_seconds", "How long the first of them has waited.", {"": round(age, 3)})


def _gauge(name: str, text: str, values: Mapping[str, float], label: str = "") -> Iterable[str]:
    """The lines of one metric; ``values`` by their label. Labels are urlsum's own words, so they need no escapes."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} gauge"
    for value, number in values.items():
        yield f'{name}{{{label}="{value}"}} {number}' if label else f"{name} {number}"
