"""docs/cost.md: that it is what `make cost` writes, and that its sums follow the rules of the bill."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench import cost
from tests.support.aws import template
from tests.support.aws.deployment import deploy
from urlsum import cloudwatch, md5
from urlsum.cloudwatch import JsonLines
from urlsum.service import Submission
from urlsum.web import trail
from urlsum.web.client import Client
from urlsum.worker import delivery
from urlsum.worker.metrics import WorkMetrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.task import Task

REQUEST_ID = "36ca12b4-8d91-4f0e-9a53-1f2b7c60d9e8"


def test_the_document_is_what_make_cost_writes() -> None:
    assert cost.DOCUMENT.read_text(encoding="utf-8") == cost.document()


def test_a_terabyte_and_a_month_without_use_stay_below_their_bars() -> None:
    assert cost.per_tb(cost.memory("HashWorkerFunction")) <= cost.BARS["TB"]
    unused = cost.idle()
    assert unused.pop("alarms") == cost.ALARM.of(cost.alarm_metrics())  # as many as one wants to pay for
    assert sum(unused.values()) <= cost.BARS["idle"]


def test_the_default_memory_is_the_least_whose_share_of_a_slow_cpu_carries_the_network() -> None:
    default = deploy()["HashWorkerFunction"]["MemorySize"]
    assert cost.bytes_per_second(default, cost.HALF_SPEED) == cost.NETWORK_BYTES
    assert cost.bytes_per_second(512, cost.HALF_SPEED) < cost.NETWORK_BYTES


def test_the_sums_in_the_comments_of_the_template_are_right() -> None:
    comments = " ".join(template.PATH.read_text(encoding="utf-8").replace("#", "").split())
    _, check, submit = cost.flood().values()
    assert f"costs {check:.0f} dollars if it asks for /check, {submit:.0f} if it submits small files" in comments
    assert "288 runs a day cost about two cents a month" in comments
    assert round(cost.sweeps(cost.MONTH), 2) == 0.02


def test_a_function_is_billed_for_its_memory_and_for_its_share_of_a_cpu() -> None:
    whole = cost.run(1769, cpu=1.0, waits=0.0)
    assert whole == pytest.approx(0.2e-6 + 13.3334e-6 * 1769 / 1024)
    # Half of the CPU takes twice as long at half the price.
    assert cost.run(1769 / 2, cpu=1.0, waits=0.0) == pytest.approx(whole)
    assert cost.run(1024, cpu=0.0, waits=2.0, runs=3.0) == pytest.approx(3 * (0.2e-6 + 2 * 13.3334e-6))


@pytest.mark.parametrize(
    ("before", "after", "units"), [(None, 1.0, 2), (1.0, 1.0, 1), (1.0, 2.0, 3), (1.0, None, 2), (None, None, 1)]
)
def test_a_write_costs_the_item_and_each_entry_of_the_index(
    before: float | None, after: float | None, units: int
) -> None:
    task = cost.example()
    old = None if (before, after) == (None, 1.0) else replace(task, due_at=before)
    assert cost.writes_of(old, replace(task, due_at=after)) == units


def test_a_small_file_costs_five_and_a_half_write_units_with_its_client_and_its_origin() -> None:
    assert list(cost.writes_of_a_small_file().values()) == [2, 2, 1, 0.5]


def test_a_million_small_files_cost_less_than_their_bar() -> None:
    assert sum(cost.small_files().values()) <= cost.BARS["small files"]


def test_a_large_item_costs_a_unit_for_each_kilobyte() -> None:
    task = replace(cost.example(), due_at=None)
    assert cost.writes_of(task, replace(task, url="https://example.org/" + "x" * 2000)) == 3


@pytest.fixture
def invocation() -> Iterator[None]:
    with cloudwatch.request(REQUEST_ID, "hash_worker"):
        yield


def ended(number: int) -> tuple[Task, float]:
    """A small file that ended in a batch, and the seconds that it took."""
    task, seconds = cost.example(), 0.512 + 0.013 * number
    return task.claimed(task.created_at, 90.0).done("0" * 32, 1024, task.created_at + seconds), seconds


def test_the_line_of_a_request_has_the_size_that_is_paid_for() -> None:
    line = deploy()["ApiApiGatewayDefaultStage"]["AccessLogSettings"]["Format"]
    values = {
        "requestId": "JKJaXmPLvHcESHA=",
        "integration.requestId": REQUEST_ID,
        "identity.sourceIp": "203.0.113.7",
        "httpMethod": "POST",
        "routeKey": "ANY /submit",
        "status": "202",
        "responseLatency": "12",
        "integrationErrorMessage": "-",
    }
    for name, value in values.items():
        assert f'"$context.{name}"' in line
        line = line.replace(f'"$context.{name}"', json.dumps(value))
    assert "$" not in line
    assert len(line) + cost.EACH_LINE == cost.REQUEST_LOG


def test_the_line_of_a_submission_has_the_size_that_is_paid_for(capsys: pytest.CaptureFixture[str]) -> None:
    task = cost.example()
    facts = trail.accepted(Client(task.client, str(task.client), task.network), Submission(url=task.url))
    with cloudwatch.request(REQUEST_ID, "submit"):
        cloudwatch.event("accepted", task.id, **facts)
    assert len(capsys.readouterr().out.rstrip("\n")) + cost.EACH_LINE == cost.SUBMISSION_LOG


@pytest.mark.usefixtures("invocation")
def test_the_line_of_a_files_end_has_the_size_that_is_paid_for() -> None:
    task, _ = ended(0)
    record = logging.LogRecord(
        delivery.__name__, logging.INFO, "", 1, delivery.ENDED, (task.id, task.status, 1024), None
    )
    assert len(JsonLines().format(record)) + cost.EACH_LINE == cost.LINE_LOG


@pytest.mark.usefixtures("invocation")
def test_the_metrics_of_a_batch_have_the_size_that_is_paid_for(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = WorkMetrics("urlsum-prod", clock=lambda: 1.8e9)
    for number in range(cost.batch_size()):
        task, seconds = ended(number)
        metrics.count_slice(task, seconds=seconds, began=task.created_at)
    metrics.flush(engine=md5.engine)
    [line] = capsys.readouterr().out.splitlines()
    assert len(line) + cost.EACH_LINE == cost.BATCH_LOG
