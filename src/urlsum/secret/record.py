"""The secret as a record beside the tasks."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from urlsum import tables
from urlsum.secret import new
from urlsum.tables import NEVER, Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.tables import Records

KEY = "secret"


class RecordSecret:
    """Reads the secret from ``records`` at first use, and makes it there if it is the first of the deployment.

    The conditional insert lets one process win; the others take its value.
    """

    def __init__(self, records: Records, *, clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._clock = clock
        self._lock = threading.Lock()
        self._value: bytes | None = None

    def __call__(self) -> bytes:
        """The secret. Raises TableUnavailable."""
        with self._lock:
            if self._value is None:
                # Durable: after a power failure, links that were emailed must still be valid.
                self._value = tables.change(self._records, KEY, _kept, now=self._clock(), durable=True).encode()
            return self._value


def _kept(stored: str | None) -> tuple[Change | None, str]:
    if stored is not None:
        return None, stored
    value = new()
    return Change(value, NEVER), value
