"""The sweeper: its schedule, its time-out, and the alarm that tells when it stands still."""

from __future__ import annotations

from functions.sweeper import app as sweeper
from tests.support.aws.deployment import deploy
from urlsum.queues import sqs
from urlsum.tables import dynamodb
from urlsum.worker.sweep import LIMIT

INTERVAL_SECONDS = 300
# botocore waits up to 1, then 2 s between three tries (standard mode).
BACKOFF_SECONDS = 3
TASK_SECONDS = 0.03  # about 10 ms for each of its three requests


def test_it_runs_every_few_minutes_and_is_the_only_thing_that_does() -> None:
    [rule] = deploy().of_type("AWS::Events::Rule").values()
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    [target] = rule["Targets"]
    assert target["Arn"] == "SweeperFunctionAliaslive"
    assert rule.get("State", "ENABLED") == "ENABLED"


def test_only_its_rule_may_invoke_it() -> None:
    [permission] = [
        permission
        for permission in deploy().of_type("AWS::Lambda::Permission").values()
        if permission["FunctionName"] == "SweeperFunctionAliaslive"
    ]
    assert permission["Principal"] == "events.amazonaws.com"
    assert permission["SourceArn"].removesuffix(".Arn") in deploy().of_type("AWS::Events::Rule")


def test_a_run_that_failed_is_left_to_the_next_one() -> None:
    [config] = deploy().of_type("AWS::Lambda::EventInvokeConfig").values()
    assert config["FunctionName"] == "SweeperFunction"
    assert (config["MaximumRetryAttempts"], config["MaximumEventAgeInSeconds"]) == (0, INTERVAL_SECONDS)


def test_no_concurrency_is_reserved_because_a_new_account_has_none_to_spare() -> None:
    assert "ReservedConcurrentExecutions" not in deploy()["SweeperFunction"]


def test_a_full_run_ends_before_the_next_one_begins_and_before_it_is_cut_off() -> None:
    timeout = deploy()["SweeperFunction"]["Timeout"]
    table = (dynamodb.CONNECT_SECONDS + dynamodb.READ_SECONDS) * (1 + dynamodb.RETRIES) + BACKOFF_SECONDS
    queue = (sqs.CONNECT_SECONDS + sqs.ANSWER_SECONDS) * sqs.TRIES + BACKOFF_SECONDS
    assert 2 * table + queue <= sweeper.MARGIN_SECONDS
    assert LIMIT * TASK_SECONDS + sweeper.MARGIN_SECONDS < timeout < INTERVAL_SECONDS


def test_it_knows_its_interval() -> None:
    assert deploy()["SweeperFunction"]["Environment"]["Variables"]["SWEEP_SECONDS"] == str(INTERVAL_SECONDS)


def test_an_alarm_rings_when_no_sweep_comes_to_its_end() -> None:
    alarm = deploy(AlarmEmail="ops@example.org")["SweeperAlarm"]
    # A run that fails or is cut off is an invocation and an error.
    [completed] = [item for item in alarm["Metrics"] if item.get("ReturnData", True)]
    assert completed["Expression"] == "invocations - FILL(errors, 0)"
    read = {item["Id"]: item["MetricStat"] for item in alarm["Metrics"] if "MetricStat" in item}
    for name, stat in read.items():
        assert stat["Metric"]["MetricName"].lower() == name
        assert stat["Metric"]["Dimensions"] == [{"Name": "FunctionName", "Value": "SweeperFunction"}]
        assert (stat["Stat"], stat["Period"]) == ("Sum", INTERVAL_SECONDS)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "breaching"
