"""What the worker and the sweeper count for CloudWatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urlsum import md5
from urlsum.cloudwatch import Metrics
from urlsum.md5 import engines
from urlsum.task import Mail, Status

if TYPE_CHECKING:
    from urlsum.task import Task
    from urlsum.worker.sweep import Swept


class WorkMetrics(Metrics):
    """The metrics of one invocation of the worker or the sweeper. Zeros are not written: each metric costs money."""

    def count_slice(self, task: Task, *, seconds: float, began: float) -> None:
        """Count one slice of ``task``, which took ``seconds`` from the time ``began`` on.

        A task that had ended before came for its email only: it is not counted a second time.
        """
        # Rounded, because each digit is paid for.
        self.add("SliceSeconds", round(seconds, 3), unit="Seconds")
        rate = task.rate
        if task.finished_at is not None and task.finished_at >= began:
            if task.status is Status.DONE:
                size = task.size or 0
                self.add("Done")
                # A result that another task had computed cost no reading.
                if task.reused_at is None:
                    self.add("BytesHashed", size, unit="Bytes")
                rate = size / seconds if task.slices == 1 and seconds > 0 and task.reused_at is None else None
            elif task.status is Status.FAILED and task.error is not None:
                self.add("Failed", code=task.error.code)
        if rate is not None:
            self.add("BytesPerSecond", round(rate), unit="Bytes/Second")
        if task.mail is Mail.FAILED:
            self.add("MailFailed")

    def count_engine(self) -> None:
        """Count this invocation if it hashed in pure Python."""
        if md5.engine == engines.PYTHON.name:
            self.add("SlowMD5")

    def count_sweep(self, swept: Swept) -> None:
        """Count what one sweep did."""
        if swept.resent:
            self.add("Resent", swept.resent)
        if swept.failed:
            self.add("GivenUp", swept.failed)
