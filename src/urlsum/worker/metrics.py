"""Metrics for CloudWatch, as log lines in its embedded metric format: they need no request and no permission.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from urlsum.task import Mail, Status

if TYPE_CHECKING:
    from urlsum.task import Task
    from urlsum.worker.sweep import Swept


class Metrics:
    """What one invocation of the function ``service`` counts; ``flush`` writes it to standard output."""

    def __init__(self, service: str) -> None:
        self._provider = AmazonCloudWatchEMFProvider(namespace="urlsum", service=service)

    def count_slice(self, task: Task, seconds: float) -> None:
        """Count one slice of ``task``, which took ``seconds``."""
        self._add("SliceSeconds", seconds, MetricUnit.Seconds)
        if task.status is Status.DONE:
            self._add("Done", 1)
            self._add("BytesHashed", task.size or 0, MetricUnit.Bytes)
        elif task.status is Status.FAILED:
            self._add("Failed", 1)
        if task.mail is Mail.FAILED:
            self._add("MailFailed", 1)

    def count_sweep(self, swept: Swept) -> None:
        """Count one complete sweep: an alarm rings when ``Sweeps`` stays away."""
        self._add("Sweeps", 1)
        self._add("Resent", swept.resent)
        self._add("GivenUp", swept.failed)

    def flush(self) -> None:
        """Write the counts as one line, unless there are none."""
        if self._provider.metric_set:
            self._provider.flush_metrics()

    def _add(self, name: str, value: float, unit: MetricUnit = MetricUnit.Count) -> None:
        self._provider.add_metric(name=name, unit=unit, value=value)
