"""The hash_worker function: what it gives back, when it stops, and what it lets be read."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from functions.hash_worker.app import MARGIN_SECONDS
from scripts.sam_build import ROOT
from tests.integration.worker.conftest import EMAIL, SIGNATURE, WorkerSetup
from urlsum.errors import Incomplete, MailRefused, MailUnavailable, QueueUnavailable
from urlsum.queues import encode
from urlsum.task import Mail, Status

if TYPE_CHECKING:
    from collections.abc import Callable


def test_only_what_must_come_again_is_given_back(setup: WorkerSetup) -> None:
    good, held, silent, settled = setup.add(), setup.add(), setup.add(), setup.add(status=Status.DONE, mail=Mail.SENT)
    setup.table.save(held.claimed(setup.clock(), 90), over=held)
    setup.table.silent = {silent.id}
    setup.source.content = setup.source.content[:50_000]  # 50 seconds: less than a file in company has
    poison = ["no JSON", json.dumps({"task": good.id}), "[]"]
    bodies = [*poison, encode(held.id), encode(good.id), encode(silent.id), encode(settled.id), encode("unknown")]
    assert setup.process(*bodies) == ["0", "1", "2", "5"]
    assert setup.table.get(good.id).md5 == setup.source.md5
    assert len(setup.mailer.letters) == 1


def test_a_batch_that_fails_whole_is_given_back_and_does_not_raise(setup: WorkerSetup) -> None:
    # An exception would be an error of the function, and an alarm; the records come again either way.
    setup.table.down = True
    assert setup.process(encode("one"), encode("two")) == ["0", "1"]


def test_a_next_slice_that_could_not_be_asked_for_brings_the_message_again(setup: WorkerSetup) -> None:
    task = setup.add()
    setup.queue.down = True
    assert setup.process(encode(task.id), seconds=MARGIN_SECONDS + 20) == ["0"]
    assert setup.table.get(task.id).offset > 0
    with pytest.raises(QueueUnavailable):
        setup.queue.receive(1, wait=0)


@pytest.mark.parametrize(
    ("remaining", "slice_seconds", "worked"),
    [
        (300, 240, 240),  # as deployed: the slice is what ends it
        (250, 240, 250 - MARGIN_SECONDS),  # a late start: what is left does
        (300, 60, 60),
        (MARGIN_SECONDS, 240, 0),
        (1, 240, 0),
    ],
)
def test_a_slice_ends_a_margin_before_lambda_does(
    setup: WorkerSetup, remaining: float, slice_seconds: float, worked: float
) -> None:
    setup.source.content *= 10
    setup.settings = structs.replace(setup.settings, slice_seconds=slice_seconds)
    started = setup.clock()
    task = setup.work_on(setup.add(), remaining)
    assert setup.clock() - started == worked
    assert (task.status, task.lease_until) == (Status.RUNNING, 0.0)
    assert task.offset == int(worked) * setup.source.piece // 64 * 64
    assert setup.queue.sent == [(task.id, 0.0)]


def test_slices_add_up_to_the_one_digest(setup: WorkerSetup) -> None:
    task = setup.add()
    for _ in range(20):
        if setup.work_on(task, MARGIN_SECONDS + 7).complete:
            break
    stored = setup.table.get(task.id)
    assert (stored.status, stored.md5) == (Status.DONE, setup.source.md5)
    assert len(setup.source.opened) == 15  # 100 pieces, 7 at a time
    assert len(setup.mailer.letters) == 1


def done(setup: WorkerSetup) -> None:
    setup.work_on(setup.add())


def cut(setup: WorkerSetup) -> None:
    def fault(offset: int) -> None:
        raise Incomplete("https://o.example/a.bam?…: cut")

    setup.source.fault = fault
    setup.work_on(setup.add())


def bug(setup: WorkerSetup) -> None:
    def fault(offset: int) -> None:
        raise ZeroDivisionError

    setup.source.fault = fault
    setup.work_on(setup.add())


def refused_mail(setup: WorkerSetup) -> None:
    setup.mailer.refuse_with = MailRefused("the mail server refused the recipient: 550 unknown")
    setup.work_on(setup.add())


def late_mail(setup: WorkerSetup) -> None:
    setup.mailer.refuse_with = MailUnavailable("the mail server does not answer")
    setup.work_on(setup.add())


def silent_table(setup: WorkerSetup) -> None:
    task = setup.add()
    setup.table.silent = {task.id}
    assert setup.process(encode(task.id)) == ["0"]


def poison(setup: WorkerSetup) -> None:
    # Nobody but an operator can put this there; whatever it is, it must not fill the log.
    assert setup.process("x" * 150 + EMAIL + SIGNATURE) == ["0"]


@pytest.mark.parametrize("happens", [done, cut, bug, refused_mail, late_mail, silent_table, poison])
def test_logs_name_the_task_and_nothing_that_is_private(
    setup: WorkerSetup, caplog: pytest.LogCaptureFixture, happens: Callable[[WorkerSetup], None]
) -> None:
    caplog.set_level(logging.DEBUG)
    happens(setup)
    assert caplog.text
    assert EMAIL not in caplog.text
    assert SIGNATURE not in caplog.text
    if setup.table.tasks:
        assert all(task_id in caplog.text for task_id in setup.table.tasks)


# The logger is chosen when the module is imported; hence a process of its own.
ON_LAMBDA = """
from types import SimpleNamespace
from functions.hash_worker.app import handler
from tests.integration.worker.conftest import WorkerSetup
from tests.support.aws.fake_lambda import record
from urlsum.errors import Incomplete
from urlsum.queues import encode
setup = WorkerSetup()
opens = setup.source.open
def open_one(url, **kwargs):
    if url.endswith("/cut"):
        raise Incomplete("cut")
    return opens(url, **kwargs)
setup.source.open = open_one
# The first record has the time to read its file, whichever thread comes first.
bodies = [encode(setup.add().id), encode(setup.add(url="https://example.org/cut").id), "poison"]
context = SimpleNamespace(
    function_name="hash_worker", memory_limit_in_mb=1769, aws_request_id="request-1",
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:hash_worker",
    get_remaining_time_in_millis=lambda: 300_000,
)
event = {"Records": [record(body, str(number)) for number, body in enumerate(bodies)]}
print(handler(event, context, services=setup.services) == {"batchItemFailures": [{"itemIdentifier": "2"}]})
"""


def run_on_lambda(**environment: str) -> list[str]:
    variables = {"AWS_LAMBDA_FUNCTION_NAME": "urlsum-prod-HashWorker", "STACK_NAME": "urlsum-prod", **environment}
    ran = subprocess.run(
        [sys.executable, "-c", ON_LAMBDA],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "TASKS_TABLE": "tasks", "AWS_DEFAULT_REGION": "eu-central-1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout.splitlines()


@pytest.mark.slow
def test_on_lambda_logs_and_metrics_are_json_lines() -> None:
    *lines, answered = run_on_lambda()
    assert answered == "True"
    output: list[dict[str, Any]] = [json.loads(line) for line in lines]
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    [metrics] = [line for line in output if "_aws" in line]
    [definition] = metrics["_aws"]["CloudWatchMetrics"]
    assert (definition["Namespace"], definition["Dimensions"]) == ("urlsum", [["stack"]])
    units = {metric["Name"]: metric.get("Unit") for metric in definition["Metrics"]}
    assert units == {
        "SliceSeconds": "Seconds",
        "Done": None,
        "BytesHashed": "Bytes",
        "BytesPerSecond": "Bytes/Second",
    }
    assert (metrics["stack"], metrics["Done"], metrics["BytesHashed"]) == ("urlsum-prod", [1], [100_000])
    assert 900 < metrics["BytesPerSecond"][0] <= 1000  # a piece of this size takes a second of the test's clock
    assert len(metrics["SliceSeconds"]) == 2
    logs = [line for line in output if "_aws" not in line]
    # Each says which invocation it belongs to.
    assert {(line["function"], line["requestId"]) for line in output} == {("hash_worker", "request-1")}
    [poison] = [line for line in logs if "task" not in line]
    assert (poison["level"], "poison" in poison["message"]) == ("WARN", True)
    tasks = {line["task"] for line in logs if line is not poison}
    assert len(tasks) == 2
    assert "done at 100000 bytes" in {line["message"] for line in logs}


def test_a_mail_that_is_given_up_is_counted_for_operators(
    setup: WorkerSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.mailer.refuse_with = MailRefused("no such mailbox")
    assert setup.work_on(setup.add()).mail is Mail.FAILED
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["MailFailed"] == [1]


def test_a_file_that_is_handed_over_counts_with_its_rate(
    setup: WorkerSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not setup.work_on(setup.add(), MARGIN_SECONDS + 20).complete
    counted = json.loads(capsys.readouterr().out)
    assert counted["BytesPerSecond"] == [pytest.approx(1000, rel=0.1)]
    assert counted["SliceSeconds"] == [20.0]
    assert {"Done", "BytesHashed"}.isdisjoint(counted)


def test_a_file_is_counted_once_however_often_its_email_is_tried(
    setup: WorkerSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.mailer.refuse_with = MailUnavailable("the mail server does not answer")
    task = setup.work_on(setup.add())
    assert json.loads(capsys.readouterr().out)["Done"] == [1]
    setup.clock.now += 3600
    assert setup.work_on(task).mail is Mail.PENDING
    again = json.loads(capsys.readouterr().out)
    assert {"Done", "BytesHashed", "BytesPerSecond"}.isdisjoint(again)
    assert again["SliceSeconds"] == [0.0]
