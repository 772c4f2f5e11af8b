"""Log lines and metrics as CloudWatch reads them."""

from __future__ import annotations

import json
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from urlsum import cloudwatch
from urlsum.cloudwatch import JsonLines, Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def function() -> Iterator[None]:
    cloudwatch.current.function = "check"
    yield
    cloudwatch.current.function = None


def line(
    message: str, *values: object, level: int = logging.INFO, logger: str = "urlsum.x", **more: Any
) -> dict[str, Any]:
    record = logging.LogRecord(logger, level, __file__, 1, message, values, more.get("exc_info"))
    record.created = 1_795_000_000.1239
    text = JsonLines().format(record)
    assert "\n" not in text  # CloudWatch would read two events
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_record_is_one_line_with_what_lambda_filters_by() -> None:
    with cloudwatch.request("r-1"):
        assert line("größe\n%d", 7) == {
            "timestamp": "2026-11-18T11:06:40.123Z",
            "level": "INFO",
            "message": "größe\n7",
            "function": "check",
            "requestId": "r-1",
        }
    assert "requestId" not in line("between two events")


def test_a_line_of_a_library_names_its_logger() -> None:
    assert line("x", logger="botocore.httpsession")["logger"] == "botocore.httpsession"


# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
@pytest.mark.parametrize(
    ("level", "name"),
    [(logging.DEBUG, "DEBUG"), (logging.WARNING, "WARN"), (logging.ERROR, "ERROR"), (logging.CRITICAL, "FATAL")],
)
def test_levels_have_the_names_of_lambda(level: int, name: str) -> None:
    assert line("x", level=level)["level"] == name


def test_an_exception_is_part_of_the_line() -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        text = line("x", exc_info=sys.exc_info())["exception"]
    assert text.startswith("Traceback")
    assert text.endswith("ZeroDivisionError: division by zero")


def test_a_record_that_begins_with_a_task_is_about_that_one() -> None:
    with cloudwatch.about("other"):
        about = line("task %s: stranded; sent again", "id-1")
        # Once is enough: each byte is paid for.
        assert (about["task"], about["message"]) == ("id-1", "stranded; sent again")
        assert line("%s: not confirmed", "https://o.example/f")["task"] == "other"
    assert "task" not in line("%s: not confirmed", "https://o.example/f")


def test_what_one_record_of_a_batch_is_about_is_not_what_another_is() -> None:
    both = threading.Barrier(2)

    def handled(task_id: str) -> dict[str, Any]:
        with cloudwatch.about(task_id):
            both.wait(5)
            return line("x")

    with ThreadPoolExecutor(2) as pool:
        assert [found["task"] for found in pool.map(handled, ["one", "two"])] == ["one", "two"]
    assert "task" not in line("x")


def test_a_metric_with_a_code_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics("urlsum-prod", clock=lambda: 1_795_000_000.5)
    metrics.add("Done")
    metrics.add("Done")
    metrics.add("BytesHashed", 5, unit="Bytes")
    metrics.add("Failed", code="tls")
    metrics.flush(task="id-1")
    both, failed = map(json.loads, capsys.readouterr().out.splitlines())
    units = [{"Name": "Done"}, {"Name": "BytesHashed", "Unit": "Bytes"}]
    directive = {"Namespace": "urlsum", "Dimensions": [["stack"]], "Metrics": units}
    assert both == {
        "_aws": {"Timestamp": 1_795_000_000_500, "CloudWatchMetrics": [directive]},
        "stack": "urlsum-prod",
        "function": "check",
        "task": "id-1",
        "Done": [1, 1],
        "BytesHashed": [5],
    }
    assert failed["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stack", "code"]]
    assert (failed["stack"], failed["code"], failed["Failed"]) == ("urlsum-prod", "tls", [1])
    metrics.flush()
    assert capsys.readouterr().out == ""


def test_an_event_is_one_line_with_the_facts_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    with cloudwatch.request("r-1"):
        cloudwatch.event("accepted", "id-1", client="203.0.113.9", key=None, host="files.example.org")
    [text] = capsys.readouterr().out.splitlines()
    assert json.loads(text) == {
        "message": "accepted",
        "function": "check",
        "requestId": "r-1",
        "task": "id-1",
        "client": "203.0.113.9",
        "host": "files.example.org",
    }
