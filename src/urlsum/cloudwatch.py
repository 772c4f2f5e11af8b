"""What CloudWatch reads of a function's standard output: one JSON line for each log record, and for metrics.

Both need no request and no permission. Lambda passes JSON lines on as they are, and takes ``timestamp`` and ``level``
from them: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAMESPACE = "urlsum"
# The unit that is not written, for its 15 bytes.
COUNT = "Count"
# What writes to these says so by its message.
OWN_LOGGERS = "urlsum."
# Lambda's names for levels where they differ from Python's.
LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
# urlsum's log records about one task begin like this, and its id is their first argument.
ABOUT_A_TASK = "task %s"

_task: ContextVar[str | None] = ContextVar("task", default=None)


class Context(Protocol):
    """What urlsum reads of Lambda's context object."""

    @property
    def aws_request_id(self) -> str:
        """The invocation's id, which Lambda's own START and REPORT lines carry too."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda's time-out."""


class Invocation:
    """The function of this process and its current request; a process on Lambda gets one event at a time.

    The function has a short name: the log group of a line says which stack's it is.
    """

    def __init__(self) -> None:
        self.function: str | None = None
        self.request: str | None = None

    def fields(self) -> dict[str, str | None]:
        """What every line carries, under the names of Lambda's own JSON lines where it has one."""
        return {"function": self.function, "requestId": self.request}


current = Invocation()


@contextmanager
def request(request_id: str, function: str | None = None) -> Iterator[None]:
    """Name the request, and the ``function``, in every line of the block, whatever its thread."""
    before, current.request = current.function, request_id
    current.function = function or before
    try:
        yield
    finally:
        current.request, current.function = None, before


@contextmanager
def about(task_id: str | None) -> Iterator[None]:
    """Name the task in the lines that this context logs, also where a record does not begin with its id."""
    token = _task.set(task_id)
    try:
        yield
    finally:
        _task.reset(token)


class JsonLines(logging.Formatter):
    """A log record as one line of JSON, with its function, request and task where they are known."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        task, at = _task_of(record), datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
        line = {
            "timestamp": f"{at.isoformat(timespec='milliseconds')}Z",
            "level": LEVELS.get(record.levelname, record.levelname),
            "message": record.getMessage().removeprefix(f"task {task}: "),  # the line's task says it
            "logger": None if record.name.startswith(OWN_LOGGERS) else record.name,
            **current.fields(),
            "task": task,
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return _dumps(line)


def _dumps(line: Mapping[str, object]) -> str:
    # Without blanks, and without members that have no value: each byte is paid for.
    known = {name: value for name, value in line.items() if value is not None}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":"))


def _task_of(record: logging.LogRecord) -> str | None:
    if record.args and isinstance(record.args, tuple) and str(record.msg).startswith(ABOUT_A_TASK):
        return str(record.args[0])
    return _task.get()


def log_as_json(function: str) -> None:
    """Log to standard output from now on: urlsum's records from INFO, those of libraries from WARNING."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]  # the runtime's own handler knows no task
    root.setLevel(logging.WARNING)
    logging.getLogger("urlsum").setLevel(logging.INFO)
    current.function = function


def logged(process: Callable[..., Any], function: str | None) -> Callable[..., Any]:
    """The handler ``process`` with JSON logs that name ``function``; as it is without one, elsewhere than on Lambda."""
    if function is None:
        return process
    log_as_json(function)

    @wraps(process)
    def handler(event: dict[str, Any], context: Context, **services: Any) -> Any:  # noqa: ANN401 - as process has them
        with request(context.aws_request_id, function):
            return process(event, context, **services)

    return handler


def count(name: str, stack: str, task_id: str) -> None:
    """Write the metric ``name`` of ``stack`` once, for the task; one line."""
    metrics = Metrics(stack)
    metrics.add(name)
    metrics.flush(task=task_id)


def event(name: str, task_id: str, **facts: str | None) -> None:
    """Log that ``name`` has happened to the task, with ``facts`` as members; one line, which a metric filter may count.

    It is 150 bytes shorter than a metric of its own.
    """
    print(_dumps({"message": name, **current.fields(), "task": task_id, **facts}), flush=True)  # noqa: T201


class Metrics:
    """The metrics of one invocation in the embedded metric format; ``flush`` writes them.

    Each has the dimension ``stack``, so that stacks in one account and region share nothing; some also have ``code``.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """

    def __init__(self, stack: str, *, clock: Callable[[], float] = time.time) -> None:
        self._stack = stack
        self._clock = clock
        self._values: defaultdict[str | None, defaultdict[tuple[str, str], list[float]]]
        self._values = defaultdict(lambda: defaultdict(list))

    def add(self, name: str, value: float = 1, *, unit: str = COUNT, code: str | None = None) -> None:
        """Add one value; ``unit`` is one of CloudWatch's."""
        self._values[code][name, unit].append(value)

    def flush(self, **properties: str) -> None:
        """Write what was added, one line for each code, and forget it; ``properties`` are for searching the log."""
        for code, values in self._values.items():
            dimensions = {"stack": self._stack} | ({} if code is None else {"code": code})
            print(_dumps(self._line(dimensions, values) | properties), flush=True)  # noqa: T201 - CloudWatch reads it
        self._values.clear()

    def _line(self, dimensions: Mapping[str, str], values: Mapping[tuple[str, str], list[float]]) -> dict[str, object]:
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [[*dimensions]],
            "Metrics": [{"Name": name} if unit == COUNT else {"Name": name, "Unit": unit} for name, unit in values],
        }
        return {
            "_aws": {"Timestamp": int(self._clock() * 1000), "CloudWatchMetrics": [directive]},
            **dimensions,
            **current.fields(),
            **{name: numbers for (name, _), numbers in values.items()},
        }
