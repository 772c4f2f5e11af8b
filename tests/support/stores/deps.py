"""The dependencies of the worker's code in tests, instead of ``urlsum.wiring.Services``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.stores.memory import MemoryMailer, MemoryQueue, MemoryRecords, secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Mailer
    from urlsum.queues import TaskQueue
    from urlsum.secret import Secret
    from urlsum.settings import Settings
    from urlsum.tables import Records, TaskStore
    from urlsum.worker.source import Source


@dataclass
class Deps:
    """Fulfils ``SliceDeps`` and ``HandlerDeps`` of the worker."""

    settings: Settings
    table: TaskStore
    source: Source
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    queue: TaskQueue = field(default_factory=MemoryQueue)
    mailer: Mailer = field(default_factory=MemoryMailer)
    records: Records = field(default_factory=MemoryRecords)
    secret: Secret = secret
