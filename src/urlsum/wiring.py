"""Settings → Services (table, records, secret, queue, mailer, guard, source, clocks): the composition root.

A setting selects each adapter, and only then is it imported: a function on Lambda never loads SQLAlchemy, a laptop
never loads botocore. This module opens no connection, and reads no file but SSL_CERT_FILE and trusted CAs.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from urlsum import settings as settings_module
from urlsum.health import HealthCheck
from urlsum.health.meeting import Meeting
from urlsum.health.watched import WatchedAttendance, WatchedQueue, WatchedRecords, WatchedTable
from urlsum.limits.limiter import Limiter
from urlsum.mail.breaker import BreakerMailer
from urlsum.outage import Outages
from urlsum.tables.clock import DatabaseClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.health.meeting import Attendance
    from urlsum.mail import Letter, Mailer
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.source import HttpSource
    from urlsum.queues import TaskQueue
    from urlsum.queues.redis import RedisQueue
    from urlsum.secret import Secret
    from urlsum.settings import Settings
    from urlsum.tables import Records, TaskTable
    from urlsum.task import Checkpoint, Representation
    from urlsum.worker.source import Source, Stream


@dataclass(frozen=True, slots=True)
class Services:
    """All dependencies of the use cases on the world outside the process."""

    settings: Settings
    table: TaskTable
    records: Records
    secret: Secret
    queue: TaskQueue
    mailer: Mailer
    guard: Guard
    source: Source
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    rest: Callable[[], None] = lambda: None
    """Hands back what the process holds in the deployment: before it ends, or is frozen."""
    synchronize: Callable[[], None] = lambda: None
    """Corrects ``clock`` by the database's: at the start of a process, and every minute. See ``DatabaseClock``."""
    outages: Outages = field(default_factory=Outages)
    """Which of the stores and the mail system fail."""
    meeting: Meeting | None = None
    """Whether the processes of the deployment meet at one queue; None where the queue cannot tell."""
    # They remember who is over a limit, and the last check, so they live as long as the process.
    limiter: Limiter = field(init=False)
    health: HealthCheck = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limiter", Limiter(self.settings, self.table, self.records))
        health = HealthCheck(self.table, self.queue, self.outages, meeting=self.meeting, clock=self.clock)
        object.__setattr__(self, "health", health)


@cache
def services() -> Services:
    """The services of this process, wired from its environment. Raises SettingsError."""
    return wire(settings_module.load())


async def provided() -> Services:
    """The same for FastAPI, which would call a plain function in a thread for each request."""
    return services()


@runtime_checkable
class Late(Protocol):
    """A service that is made at its first use, unless ``prepare`` was called before."""

    def prepare(self) -> object:
        """Make it, or what it needs, now."""
        ...


def prepare() -> Services:
    """The services, and what the first file would make: for the init phase of a worker. Raises SettingsError."""
    made = services()
    for service in (made.secret, made.mailer, made.source):
        if isinstance(service, Late):
            service.prepare()
    return made


def wire(settings: Settings, *, processes: int = 1, number: int = 0, outages: Outages | None = None) -> Services:
    """The services that ``settings`` select, for one process or the ``number``-th of several on this machine.

    ``outages`` are those that the process has known before, if any.

    On Lambda this makes the clients of table and queue as well: the init phase has a whole CPU, and its environment has
    the credentials, so that nothing is contacted. What only the worker needs with each task, ``prepare`` makes. Raises
    SettingsError.
    """
    from urlsum.origin.guard.guard import Guard

    if settings.ssl_cert_file is not None:
        from urlsum.origin.http11 import tls

        tls.context(settings.ssl_cert_file)  # an invalid file stops the process now, not each task later
    outages = Outages() if outages is None else outages
    table, records, clock = _tables(settings, outages)
    guard = Guard(settings)
    source: LateSource | HttpSource
    if settings.on_lambda:
        source = LateSource(settings, guard, records)
    else:
        source = _source(settings, guard, records, clock, processes=processes)
    return Services(
        settings=settings,
        table=table,
        records=records,
        secret=_secret(settings, records),
        queue=_queue(settings, table, outages, clock, processes=processes, number=number),
        mailer=BreakerMailer(LateMailer(settings) if settings.on_lambda else _mailer(settings), outages.mail),
        guard=guard,
        source=source,
        clock=clock,
        rest=source.rest,
        synchronize=clock.synchronize if isinstance(clock, DatabaseClock) else lambda: None,
        outages=outages,
        meeting=_meeting(settings, records, outages, clock),
    )


def health_check(settings: Settings) -> HealthCheck:
    """The health of a process with these settings: the stores alone, in three quarters of the time of ``wire``.

    Raises SettingsError.
    """
    outages = Outages()
    table, records, clock = _tables(settings, outages)
    queue = _queue(settings, table, outages, clock, processes=1, number=0)
    return HealthCheck(table, queue, outages, meeting=_meeting(settings, records, outages, clock), clock=clock)


class LateMailer:
    """A Mailer that is imported and made with the first email: three of the four functions send none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _made(self) -> Mailer:
        return _mailer(self._settings)

    def prepare(self) -> None:
        """Make the mailer and its client, unless they are made already."""
        if isinstance(self._made, Late):
            self._made.prepare()

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        """Send the email, see the port."""
        self._made.send(letter, hold=hold)


class LateSource:
    """A Source that is imported and made with the first file: three of the four functions open none."""

    def __init__(self, settings: Settings, guard: Guard, records: Records) -> None:
        self._settings, self._guard, self._records = settings, guard, records
        self._lock = threading.Lock()  # two sources would have a connection pool each
        self._source: HttpSource | None = None

    def prepare(self) -> HttpSource:
        """Make the source, and the TLS context of its connections, unless they are made already."""
        from urlsum.origin.http11 import tls

        with self._lock:
            if self._source is None:
                tls.context(self._settings.ssl_cert_file)
                self._source = _source(self._settings, self._guard, self._records)
            return self._source

    def open(
        self,
        url: str,
        *,
        deadline: Deadline,
        resume: Checkpoint | None = None,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> Stream:
        """The file at ``url``, see the port."""
        return self.prepare().open(url, deadline=deadline, resume=resume, heartbeat=heartbeat)

    def recognize(
        self,
        url: str,
        wanted: str,
        fingerprint: str,
        *,
        deadline: Deadline,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> tuple[Representation, int] | None:
        """The facts about the file if it is still the version ``wanted``, see the port."""
        return self.prepare().recognize(url, wanted, fingerprint, deadline=deadline, heartbeat=heartbeat)

    def rest(self) -> None:
        """Hand back what the source holds in the deployment, if there is one."""
        if self._source is not None:
            self._source.rest()


def check_clock(settings: Settings) -> None:
    """Compare this machine's clock with the database's, over a connection that is closed again.

    For a process that forks later. Raises SettingsError, ClockSkewed, TableUnavailable.
    """
    if settings.tasks_table:
        from urlsum.tables.dynamodb import DATE_SECONDS, client, server_time

        connected = client()
        try:
            DatabaseClock(
                partial(server_time, settings.tasks_table, lambda: connected), resolution=DATE_SECONDS
            ).synchronize()
        finally:
            connected.close()
        return
    from urlsum.tables.sql_database import Database

    database = Database(settings.database_uri)
    try:
        DatabaseClock(database.time).synchronize()
    finally:
        database.close()


def _source(
    settings: Settings,
    guard: Guard,
    records: Records,
    clock: Callable[[], float] = time.time,
    *,
    processes: int = 1,
) -> HttpSource:
    from urlsum.origin.http11.leases import PlaceLeases
    from urlsum.origin.source import HttpSource
    from urlsum.origin.tuning import Tuning

    leases = PlaceLeases(records, settings, wall_clock=clock)
    return HttpSource(settings, guard, leases=leases, wall_clock=clock, tuning=Tuning(processes=processes))


def _tables(settings: Settings, outages: Outages) -> tuple[TaskTable, Records, Callable[[], float]]:
    """The table, the records, and the clock that their times are in."""
    table, records, clock = _stores(settings, outages)
    return WatchedTable(table, outages.table), WatchedRecords(records, outages.table), clock


def _stores(settings: Settings, outages: Outages) -> tuple[TaskTable, Records, Callable[[], float]]:
    if settings.tasks_table:
        from urlsum.tables.dynamodb import DATE_SECONDS, DynamoRecords, DynamoTaskTable, client, server_time

        connect = cache(client)
        table, records = DynamoTaskTable(settings.tasks_table, connect), DynamoRecords(settings.tasks_table, connect)
        if settings.on_lambda:  # AWS sets its clock
            connect()
            return table, records, time.time

        def read_date() -> float | None:
            with outages.table.read:
                return server_time(str(settings.tasks_table), connect)

        return table, records, DatabaseClock(read_date, resolution=DATE_SECONDS)
    from urlsum.tables.sql import SqlTaskTable
    from urlsum.tables.sql_database import Database
    from urlsum.tables.sql_records import SqlRecords

    database = Database(settings.database_uri)

    def read_time() -> float | None:
        with outages.table.read:
            return database.time()

    return SqlTaskTable(database), SqlRecords(database), DatabaseClock(read_time)


def _secret(settings: Settings, records: Records) -> Secret:
    if settings.secret_parameter:
        from urlsum.secret.ssm import SsmSecret

        return SsmSecret(settings.secret_parameter)
    from urlsum.secret.record import RecordSecret

    return RecordSecret(records)


def _queue(
    settings: Settings,
    table: TaskTable,
    outages: Outages,
    clock: Callable[[], float],
    *,
    processes: int,
    number: int,
) -> TaskQueue:
    if settings.tasks_queue_url:
        from urlsum.queues.sqs import SqsQueue

        queue = SqsQueue(
            settings.tasks_queue_url, settings.continuations_queue_url, sweep_seconds=settings.sweep_seconds
        )
        if settings.on_lambda:
            queue.prepare()
        return WatchedQueue(queue, outages.queue)
    if settings.redis_url:
        return WatchedQueue(redis_queue(settings, clock), outages.queue)
    from urlsum.queues.table import TableQueue

    # Its calls are those of the table.
    return TableQueue(table, clock=clock, processes=processes, number=number)


def meeting_at(settings: Settings, attendance: Attendance) -> Meeting:
    """The meeting at the queue of ``attendance``; the connections to the table close with it.

    For a process that forks later. Raises SettingsError.
    """
    outages = Outages()
    _, records, clock = _tables(settings, outages)
    return _meet(settings, records, outages, clock, attendance)


def _meeting(settings: Settings, records: Records, outages: Outages, clock: Callable[[], float]) -> Meeting | None:
    if settings.tasks_queue_url or not settings.redis_url:
        return None
    from urlsum.queues.redis import client
    from urlsum.queues.redis_attendance import RedisAttendance

    attendance = RedisAttendance(client(settings.redis_url), settings.tasks_queue_name, clock=clock)
    return _meet(settings, records, outages, clock, attendance)


def _meet(
    settings: Settings, records: Records, outages: Outages, clock: Callable[[], float], attendance: Attendance
) -> Meeting:
    watched = WatchedAttendance(attendance, outages.queue)
    # A worker that is busy gives way to a first slice within a lease, unless its origin is silent.
    return Meeting(records, watched, patience=settings.lease_seconds, clock=clock)


def redis_queue(settings: Settings, clock: Callable[[], float] = time.time) -> RedisQueue:
    """The queue at REDIS_URL, which must be set, with what only RQ's queue has."""
    from urlsum.queues.redis import RedisQueue, client

    return RedisQueue(
        client(str(settings.redis_url)),
        settings.tasks_queue_name,
        slice_seconds=settings.slice_seconds,
        lease_seconds=settings.lease_seconds,
        clock=clock,
    )


def _mailer(settings: Settings) -> Mailer:
    match settings.mail_backend:
        case "ses":
            from urlsum.mail.ses import SesMailer

            return SesMailer(settings.mail_from, settings.ses_configuration_set)
        case "smtp":
            from urlsum.mail.smtp import SmtpMailer

            return SmtpMailer(settings)
        case "outbox":
            from urlsum.mail.outbox import OutboxMailer

            return OutboxMailer(settings.outbox_dir, settings.mail_from)
