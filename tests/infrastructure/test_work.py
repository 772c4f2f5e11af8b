"""The queue and the worker: their time-outs, and what happens to a message that nobody finishes."""

from __future__ import annotations

import pytest

from functions.hash_worker.app import MARGIN_SECONDS
from tests.support.aws.deployment import deploy
from urlsum.settings import Settings

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAMBDA_SECONDS = 900
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_FACTOR = 6
RECEIVES = 5
# A new account's quota, of all functions together.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
NEW_ACCOUNT_EXECUTIONS = 10
QUEUES = {"TasksQueue": "DeadLetterQueue", "ContinuationsQueue": "ContinuationsDeadLetterQueue"}
SQS_RETENTION_SECONDS = 14 * 24 * 3600


def worker_timeout() -> int:
    """Seconds that the worker may run."""
    timeout: int = deploy()["HashWorkerFunction"]["Timeout"]
    return timeout


def test_a_slice_and_what_follows_it_end_before_the_time_out() -> None:
    variables = deploy()["HashWorkerFunction"]["Environment"]["Variables"]
    silence = Settings().read_timeout
    # A slice looks at the clock between reads, so it can overrun by one silent read; then come the last steps.
    assert float(variables["SLICE_SECONDS"]) + max(silence, MARGIN_SECONDS) < worker_timeout() <= LAMBDA_SECONDS


@pytest.mark.parametrize("queue", QUEUES)
def test_a_message_stays_hidden_for_six_times_the_time_out(queue: str) -> None:
    assert deploy()[queue]["VisibilityTimeout"] >= VISIBILITY_FACTOR * worker_timeout()


@pytest.mark.parametrize(("queue", "dead_letters"), QUEUES.items())
def test_a_message_goes_to_the_dead_letter_queue_after_crashes_and_not_after_mere_throttles(
    queue: str, dead_letters: str
) -> None:
    redrive = deploy()[queue]["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == f"{dead_letters}.Arn"
    assert redrive["maxReceiveCount"] >= RECEIVES


@pytest.mark.parametrize(("queue", "dead_letters"), QUEUES.items())
def test_only_its_queue_may_use_a_dead_letter_queue(queue: str, dead_letters: str) -> None:
    name = deploy()[queue]["QueueName"]
    assert deploy()[dead_letters]["RedriveAllowPolicy"] == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [f"arn:aws:sqs:us-east-1:123456789012:{name}"],
    }


def test_the_queues_keep_messages_as_long_as_sqs_can_and_encrypted() -> None:
    for queue in deploy().of_type("AWS::SQS::Queue").values():
        assert queue["MessageRetentionPeriod"] == SQS_RETENTION_SECONDS
        assert queue["SqsManagedSseEnabled"] is True


def test_the_mappings_take_what_waits_without_waiting_for_more_and_believe_the_worker_about_failures() -> None:
    deployed = deploy(MaximumConcurrency=7, ContinuationConcurrency=6)
    mappings = deployed.of_type("AWS::Lambda::EventSourceMapping").values()
    assert list(mappings) == [
        {
            "EventSourceArn": f"{queue}.Arn",
            "FunctionName": "HashWorkerFunctionAliaslive",
            "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": concurrency},
        }
        for queue, concurrency in (("ContinuationsQueue", 6), ("TasksQueue", 7))
    ]


def test_by_default_the_workers_leave_half_of_a_new_accounts_executions_to_the_api() -> None:
    mappings = deploy().of_type("AWS::Lambda::EventSourceMapping").values()
    assert sum(mapping["ScalingConfig"]["MaximumConcurrency"] for mapping in mappings) <= NEW_ACCOUNT_EXECUTIONS / 2


def test_executions_are_reserved_for_the_api_on_request_and_for_nothing_else() -> None:
    def reserved(**parameters: int) -> dict[str, int]:
        functions = deploy(**parameters).of_type("AWS::Lambda::Function")
        name = "ReservedConcurrentExecutions"
        return {function: properties[name] for function, properties in functions.items() if name in properties}

    assert reserved() == {}
    assert reserved(ApiReservedConcurrency=20) == {"SubmitFunction": 20, "CheckFunction": 20}


@pytest.mark.parametrize(("parameters", "megabytes"), [({}, 768), ({"WorkerMemory": 1769}, 1769)])
def test_the_memory_of_the_worker_alone_is_a_parameter(parameters: dict[str, int], megabytes: int) -> None:
    functions = deploy(**parameters).of_type("AWS::Lambda::Function")
    memory = {name: properties["MemorySize"] for name, properties in functions.items()}
    others = {"SubmitFunction": 1024, "CheckFunction": 1024, "SweeperFunction": 1024}
    assert memory == {"HashWorkerFunction": megabytes, **others}


def test_lambda_does_not_stop_a_task_that_sends_itself_back() -> None:
    assert deploy()["HashWorkerFunction"]["RecursiveLoop"] == "Allow"


def test_no_other_function_may_loop() -> None:
    functions = deploy().of_type("AWS::Lambda::Function")
    assert [name for name, properties in functions.items() if "RecursiveLoop" in properties] == ["HashWorkerFunction"]


@pytest.mark.parametrize(
    ("name", "queue"),
    [("DeadLetterAlarm", "DeadLetterQueue"), ("ContinuationsDeadLetterAlarm", "ContinuationsDeadLetterQueue")],
)
def test_an_alarm_rings_at_the_first_dead_letter(name: str, queue: str) -> None:
    alarm = deploy(AlarmEmail="ops@example.org")[name]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": f"{queue}.QueueName"}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert alarm["TreatMissingData"] == "notBreaching"
