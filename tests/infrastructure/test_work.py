"""The queue and the worker: their time-outs, and what happens to a message that nobody finishes."""

from __future__ import annotations

from functions.hash_worker.app import MARGIN_SECONDS
from tests.support.aws.deployment import deploy
from urlsum.settings import Settings

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAMBDA_SECONDS = 900
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_FACTOR = 6
RECEIVES = 5
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


def test_a_message_stays_hidden_for_six_times_the_time_out() -> None:
    assert deploy()["TasksQueue"]["VisibilityTimeout"] >= VISIBILITY_FACTOR * worker_timeout()


def test_a_message_goes_to_the_dead_letter_queue_after_crashes_and_not_after_mere_throttles() -> None:
    redrive = deploy()["TasksQueue"]["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == "DeadLetterQueue.Arn"
    assert redrive["maxReceiveCount"] >= RECEIVES


def test_only_the_task_queue_may_use_the_dead_letter_queue() -> None:
    name = deploy()["TasksQueue"]["QueueName"]
    assert deploy()["DeadLetterQueue"]["RedriveAllowPolicy"] == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [f"arn:aws:sqs:us-east-1:123456789012:{name}"],
    }


def test_both_queues_keep_messages_as_long_as_sqs_can_and_encrypted() -> None:
    for queue in deploy().of_type("AWS::SQS::Queue").values():
        assert queue["MessageRetentionPeriod"] == SQS_RETENTION_SECONDS
        assert queue["SqsManagedSseEnabled"] is True


def test_the_mapping_takes_what_waits_without_waiting_for_more_and_believes_the_worker_about_failures() -> None:
    [mapping] = deploy(MaximumConcurrency=7).of_type("AWS::Lambda::EventSourceMapping").values()
    assert mapping == {
        "EventSourceArn": "TasksQueue.Arn",
        "FunctionName": "HashWorkerFunction",
        "BatchSize": 10,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 7},
    }


def test_lambda_does_not_stop_a_task_that_sends_itself_back() -> None:
    assert deploy()["HashWorkerFunction"]["RecursiveLoop"] == "Allow"


def test_no_other_function_may_loop() -> None:
    functions = deploy().of_type("AWS::Lambda::Function")
    assert [name for name, properties in functions.items() if "RecursiveLoop" in properties] == ["HashWorkerFunction"]


def test_an_alarm_rings_at_the_first_dead_letter() -> None:
    alarm = deploy()["DeadLetterAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "DeadLetterQueue.QueueName"}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert alarm["TreatMissingData"] == "notBreaching"
