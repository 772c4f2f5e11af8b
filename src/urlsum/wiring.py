"""Settings → Services (table, queue, mailer, guard, source, clocks): the composition root.

A setting selects each adapter, and only then is it imported: a function on Lambda never loads SQLAlchemy, a laptop
never loads boto3. This module opens no connection, and reads no file but SSL_CERT_FILE.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from urlsum import settings as settings_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Mailer
    from urlsum.origin.guard.guard import Guard
    from urlsum.queues import TaskQueue
    from urlsum.settings import Settings
    from urlsum.tables import TaskTable
    from urlsum.worker.source import Source


@dataclass(frozen=True, slots=True)
class Services:
    """All dependencies of the use cases on the world outside the process."""

    settings: Settings
    table: TaskTable
    queue: TaskQueue
    mailer: Mailer
    guard: Guard
    source: Source
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@cache
def services() -> Services:
    """The services of this process, wired from its environment. Raises SettingsError."""
    return wire(settings_module.load())


def wire(settings: Settings) -> Services:
    """The services that ``settings`` select. Raises SettingsError."""
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.source import HttpSource

    if settings.ssl_cert_file is not None:
        from urlsum.origin.http11 import tls

        tls.context(settings.ssl_cert_file)  # an invalid file stops the process now, not each task later
    table = _table(settings)
    guard = Guard(settings)
    return Services(
        settings=settings,
        table=table,
        queue=_queue(settings, table),
        mailer=_mailer(settings),
        guard=guard,
        source=HttpSource(settings, guard),
    )


def _table(settings: Settings) -> TaskTable:
    if settings.tasks_table:
        from urlsum.tables.dynamodb import DynamoTaskTable

        return DynamoTaskTable(settings.tasks_table)
    from urlsum.tables.sql import SqlTaskTable

    return SqlTaskTable(settings.database_uri)


def _queue(settings: Settings, table: TaskTable) -> TaskQueue:
    if settings.tasks_queue_url:
        from urlsum.queues.sqs import SqsQueue

        return SqsQueue(settings.tasks_queue_url)
    if settings.redis_url:
        from urlsum.queues.redis import RedisQueue, client

        return RedisQueue(
            client(settings.redis_url),
            settings.tasks_queue_name,
            slice_seconds=settings.slice_seconds,
            lease_seconds=settings.lease_seconds,
        )
    from urlsum.queues.table import TableQueue

    return TableQueue(table)


def _mailer(settings: Settings) -> Mailer:
    match settings.mail_backend:
        case "ses":
            from urlsum.mail.ses import SesMailer

            return SesMailer(settings.mail_from)
        case "smtp":
            from urlsum.mail.smtp import SmtpMailer

            return SmtpMailer(settings)
        case "outbox":
            from urlsum.mail.outbox import OutboxMailer

            return OutboxMailer(settings.outbox_dir, settings.mail_from)
