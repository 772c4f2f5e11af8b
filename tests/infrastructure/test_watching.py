"""Alarms and dashboard: each metric that they read is one that the deployed code, or AWS for this stack, writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from moto import mock_aws

from functions.check import app as check
from functions.hash_worker import app as hash_worker
from functions.submit import app as submit
from functions.sweeper import app as sweeper
from tests.infrastructure.test_functions import environment
from tests.support.aws import intrinsics, template
from tests.support.aws.deployment import deploy
from tests.support.aws.fake_lambda import Context, record
from tests.support.origin.synthetic import Clock, SyntheticSource
from tests.support.stores.memory import MemoryMailer
from tests.support.stores.tables import new_task
from tests.support.web.clients import FORM, event
from urlsum import settings, wiring
from urlsum.cloudwatch import NAMESPACE
from urlsum.errors import MailRefused, TooLarge
from urlsum.queues import encode
from urlsum.task import Mail, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mangum.types import LambdaContext

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EMAIL = "ops@example.org"
# A namespace, a name, and the dimensions; a resource stands in a dimension by its logical id.
Metric = tuple[str, str, frozenset[tuple[str, str]]]

# The metrics that AWS writes by itself, and what their dimensions name.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
# https://docs.aws.amazon.com/ses/latest/dg/reputationdashboard-cloudwatch-alarm.html
OF_AWS: dict[str, tuple[set[str], dict[str, str]]] = {
    "AWS/Lambda": (
        {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"},
        {"FunctionName": "AWS::Lambda::Function"},
    ),
    "AWS/SQS": (
        {
            "ApproximateNumberOfMessagesVisible",
            "ApproximateAgeOfOldestMessage",
            "NumberOfMessagesSent",
            "NumberOfMessagesReceived",
            "NumberOfMessagesDeleted",
            "NumberOfEmptyReceives",
        },
        {"QueueName": "AWS::SQS::Queue"},
    ),
    "AWS/ApiGateway": ({"Count", "4xx", "5xx", "Latency"}, {"ApiId": "AWS::ApiGatewayV2::Api"}),
    "AWS/DynamoDB": (
        {"ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"},
        {"TableName": "AWS::DynamoDB::Table", "GlobalSecondaryIndexName": "due"},
    ),
    "AWS/SES": ({"Reputation.BounceRate", "Reputation.ComplaintRate"}, {}),
}


def alarms() -> dict[str, dict[str, Any]]:
    return deploy(AlarmEmail=EMAIL).of_type("AWS::CloudWatch::Alarm")


def metric(properties: dict[str, Any]) -> Metric:
    dimensions = frozenset((pair["Name"], pair["Value"]) for pair in properties.get("Dimensions", []))
    return properties["Namespace"], properties["MetricName"], dimensions


def watched(alarm: dict[str, Any]) -> list[Metric]:
    """The metrics that an alarm reads."""
    if "Metrics" not in alarm:
        return [metric(alarm)]
    return [metric(item["MetricStat"]["Metric"]) for item in alarm["Metrics"] if "MetricStat" in item]


def widgets() -> list[dict[str, Any]]:
    body = json.loads(deploy()["Dashboard"]["DashboardBody"])
    return [widget["properties"] for widget in body["widgets"]]


def searched(expression: str) -> list[Metric]:
    """What a SEARCH expression looks for; the dimensions that it leaves open have the value `*`."""
    found = []
    for namespace, schema, terms in re.findall(r"SEARCH\('\{([^,]+),([^}]+)\} (.+?)', '", expression):
        given = dict(re.findall(r'(\w+)="([^"]+)"', terms))
        name = given.pop("MetricName")
        found.append((namespace, name, frozenset((key, given.get(key, "*")) for key in schema.split(","))))
    return found


def shown() -> list[Metric]:
    """The metrics that the dashboard shows."""
    found: list[Metric] = []
    for line in (line for widget in widgets() for line in widget["metrics"]):
        if isinstance(line[0], dict):
            found += searched(line[0]["expression"])
        else:
            namespace, name, *pairs = [part for part in line if isinstance(part, str)]
            found.append((namespace, name, frozenset(zip(pairs[::2], pairs[1::2], strict=True))))
    return found


def emitted(output: str) -> set[Metric]:
    """The metrics in what a function printed, in the embedded metric format."""
    found = set()
    for line in map(json.loads, filter(lambda text: text.startswith("{"), output.splitlines())):
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, line[name]) for name in names)
                found |= {
                    (directive["Namespace"], item["Name"], dimensions)
                    for item in directive["Metrics"]
                    if sum(line[item["Name"]]) > 0
                }
    return found


def counted(output: str) -> set[Metric]:
    """The metrics that the filters of the template make of what the functions printed."""
    lines = [json.loads(text) for text in output.splitlines() if text.startswith("{")]
    found: set[Metric] = set()
    for counting in deploy().of_type("AWS::Logs::MetricFilter").values():
        [(member, value)] = re.findall(r'^\{ \$\.(\w+) = "(\w+)" \}$', counting["FilterPattern"])
        if [line["function"] for line in lines if line.get(member) == value] == ["submit"]:
            assert counting["LogGroupName"] == deploy()["SubmitFunction"]["LoggingConfig"]["LogGroup"]
            found |= {
                (to["MetricNamespace"], to["MetricName"], frozenset()) for to in counting["MetricTransformations"]
            }
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[wiring.Services]:
    """The deployed environment against moto; only the file and the mail system are not there."""
    with mock_aws():
        for function in ("SubmitFunction", "CheckFunction", "SweeperFunction", "HashWorkerFunction"):
            for name, value in environment(function, PublicUrl="https://sums.example.org").items():
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "urlsum-function")
        monkeypatch.setenv("TASKS_TABLE", template.create_table(boto3.client("dynamodb")))
        monkeypatch.setenv("TASKS_QUEUE_URL", template.create_queue(boto3.client("sqs")))
        monkeypatch.setenv("CONTINUATIONS_QUEUE_URL", template.create_continuations_queue(boto3.client("sqs")))
        settings.load.cache_clear()
        wiring.services.cache_clear()
        source = SyntheticSource(b"x" * 5000, clock)
        yield replace(wiring.services(), source=source, mailer=MemoryMailer(), clock=clock, monotonic=clock)


# OpenSSL is chosen when the module is imported; hence a process of its own.
IN_PURE_PYTHON = """
import sys
sys.modules["urlsum.md5.native"] = None
from functions.hash_worker.app import handler
from tests.integration.worker.conftest import WorkerSetup
from tests.support.aws.fake_lambda import Context, record
from urlsum.queues import encode
from urlsum.task import Mail
setup = WorkerSetup()
handler({"Records": [record(encode(setup.add().id), "0")]}, Context(), services=setup.services)
"""


def in_pure_python() -> str:
    """What the worker prints where it finds no OpenSSL."""
    variables = {"PYTHONPATH": str(ROOT), "AWS_LAMBDA_FUNCTION_NAME": "worker", "AWS_DEFAULT_REGION": "eu-central-1"}
    return subprocess.run(
        [sys.executable, "-c", IN_PURE_PYTHON], cwd=ROOT, env=variables, capture_output=True, text=True, check=True
    ).stdout


def working_day(cloud: wiring.Services, clock: Clock) -> None:
    """Everything that urlsum counts happens once."""

    def work(task_id: str, **changed: Any) -> None:
        services = replace(cloud, **changed)
        hash_worker.handler({"Records": [record(encode(task_id), "0")]}, Context(), services=lambda: services)

    def add(**changes: Any) -> str:
        now = clock()
        task = new_task(**{"created_at": now, "updated_at": now, "due_at": now, **changes})
        cloud.table.add(task)
        return task.id

    form, context = {"content-type": FORM}, cast("LambdaContext", Context())
    accepted = submit.handler(event("POST", "/submit", b"url=https://o.example/f", form), context)
    cancelled = json.loads(accepted["body"])["id"]
    gone = check.handler(event("DELETE", f"/check?id={cancelled}"), context)
    assert (accepted["statusCode"], gone["statusCode"]) == (202, 200)
    refusing = MemoryMailer()
    refusing.refuse_with = MailRefused("unknown")
    work(add(email="a@example.org", mail=Mail.PENDING), mailer=refusing)

    def too_large(offset: int) -> None:
        raise TooLarge("too large")

    failing = SyntheticSource(b"x", clock)
    failing.fault = too_large
    work(add(), source=failing)
    died = clock() - 1000
    for attempts in (1, cloud.settings.max_attempts):
        add(due_at=died, lease_until=died, status=Status.RUNNING, attempts=attempts)
    assert sweeper.handler({}, Context(150.0), services=lambda: cloud)["failed"] == 1


def everything() -> set[Metric]:
    """What alarms and dashboard read."""
    return {*shown(), *(item for alarm in alarms().values() for item in watched(alarm))}


def without_values_of_code(metrics: set[Metric]) -> set[Metric]:
    """As ``searched`` gives them."""
    return {
        (namespace, name, frozenset((key, "*" if key == "code" else value) for key, value in dimensions))
        for namespace, name, dimensions in metrics
    }


def test_every_metric_of_urlsum_is_written_by_the_code_that_runs_and_shown(
    cloud: wiring.Services, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    working_day(cloud, clock)
    output = capsys.readouterr().out
    written = emitted(output) | emitted(in_pure_python())
    ours = {item for item in everything() if item[0].startswith(NAMESPACE)}
    assert without_values_of_code(written) | counted(output) == ours
    codes = {value for _, name, dimensions in written if name == "Failed" for key, value in dimensions if key == "code"}
    assert codes == {"too_large"}


def test_every_metric_of_aws_is_one_that_it_writes_for_a_resource_of_this_stack() -> None:
    resources = deploy(AlarmEmail=EMAIL).resources
    for namespace, name, dimensions in everything():
        if namespace.startswith(NAMESPACE):
            continue
        names, kinds = OF_AWS[namespace]
        assert name in names
        for dimension, value in dimensions:
            kind = kinds[dimension]
            owner = value.removesuffix(".QueueName")
            assert value == kind or resources[owner]["Type"] == kind


def test_dashboards_of_one_stack_in_two_regions_do_not_replace_each_other() -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Dashboards.html
    assert deploy()["Dashboard"]["DashboardName"] == "urlsum-us-east-1"


def test_an_index_in_the_dashboard_is_one_of_the_table() -> None:
    indexes = {index["IndexName"] for index in deploy()["TasksTable"]["GlobalSecondaryIndexes"]}
    used = {value for *_, dimensions in shown() for key, value in dimensions if key == "GlobalSecondaryIndexName"}
    assert used == indexes


def test_the_cost_is_that_of_the_deployed_memory() -> None:
    [expression] = [
        line[0]["expression"]
        for widget in widgets()
        for line in widget["metrics"]
        if isinstance(line[0], dict) and line[0]["id"] == "lambda"
    ]
    memory = {name: function["MemorySize"] for name, function in deploy().of_type("AWS::Lambda::Function").items()}
    assert f"* {memory.pop('HashWorkerFunction')} / 1024" in expression
    assert set(memory.values()) == {1024}  # a gigabyte, so the expression has no factor


def test_expressions_name_the_metrics_beside_them() -> None:
    """CloudWatch shows nothing, and rings nothing, for an expression with an unknown name."""
    functions = {"FILL", "IF", "MAX"}
    lines = [[item for item in widget["metrics"] if isinstance(item[-1], dict)] for widget in widgets()]
    groups = [
        [
            (item[-1]["id"], item[0].get("expression") if isinstance(item[0], dict) else None)
            for item in items
            if "id" in item[-1]
        ]
        for items in lines
    ]
    groups += [
        [(item["Id"], item.get("Expression")) for item in alarm.get("Metrics", [])] for alarm in alarms().values()
    ]
    checked = 0
    for group in groups:
        ids = {name for name, _ in group}
        for _, expression in group:
            if expression and "SEARCH" not in expression:
                assert set(re.findall(r"[A-Za-z]\w*", expression)) <= ids | functions
                checked += 1
    assert checked == 8


def test_two_stacks_share_no_metric_but_the_reputation_of_their_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resource is one of a stack; what names none must name the stack."""

    def ours(stack: str) -> set[Metric]:
        monkeypatch.setitem(intrinsics.PSEUDO_PARAMETERS, "AWS::StackName", stack)
        deploy.cache_clear()
        resources = deploy(AlarmEmail=EMAIL).resources
        return {
            (
                space,
                name,
                frozenset((k, f"{stack}/{v}" if v.removesuffix(".QueueName") in resources else v) for k, v in d),
            )
            for space, name, d in everything()
        }

    try:
        shared = ours("urlsum-dev") & ours("urlsum-prod")
    finally:
        monkeypatch.undo()
        deploy.cache_clear()
    assert {namespace for namespace, *_ in shared} == {"AWS/SES"}


def test_a_function_writes_its_metrics_under_the_name_of_its_stack(
    cloud: wiring.Services, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STACK_NAME", "urlsum-dev")
    settings.load.cache_clear()
    wiring.services.cache_clear()
    dev = replace(cloud, settings=settings.load())
    working_day(dev, clock)
    written = emitted(capsys.readouterr().out)
    assert {dict(dimensions)["stack"] for *_, dimensions in written} == {"urlsum-dev"}


def test_what_is_idle_writes_nothing_of_its_own_and_costs_nothing(
    cloud: wiring.Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweeper.handler({}, Context(150.0), services=lambda: cloud) == {"resent": 0, "failed": 0, "purged": 0}
    assert capsys.readouterr().out == ""


# The threshold, how a value is compared with it, and what missing data mean.
RINGS = {
    "DeadLetterAlarm": (0, "GreaterThanThreshold", "notBreaching"),
    "ContinuationsDeadLetterAlarm": (0, "GreaterThanThreshold", "notBreaching"),
    "SweeperAlarm": (1, "LessThanThreshold", "breaching"),
    "WorkerErrorsAlarm": (1, "GreaterThanOrEqualToThreshold", "notBreaching"),
    "QueueAgeAlarm": (900, "GreaterThanThreshold", "notBreaching"),
    "ApiErrorsAlarm": (1, "GreaterThanThreshold", "notBreaching"),
    "ThrottlesAlarm": (1, "GreaterThanOrEqualToThreshold", "notBreaching"),
    "MailFailedAlarm": (5, "GreaterThanOrEqualToThreshold", "notBreaching"),
    "GivenUpAlarm": (1, "GreaterThanOrEqualToThreshold", "notBreaching"),
    "SlowMD5Alarm": (1, "GreaterThanOrEqualToThreshold", "notBreaching"),
    "BouncesAlarm": (0.05, "GreaterThanOrEqualToThreshold", "ignore"),
    "ComplaintsAlarm": (0.001, "GreaterThanOrEqualToThreshold", "ignore"),
}


def test_there_are_these_alarms_and_each_rings_at_its_threshold() -> None:
    rings = ("Threshold", "ComparisonOperator", "TreatMissingData")
    assert {name: tuple(alarm[key] for key in rings) for name, alarm in alarms().items()} == RINGS


@pytest.mark.parametrize("alarm", RINGS)
def test_an_alarm_tells_somebody_and_exists_only_if_there_is_somebody(alarm: str) -> None:
    told = deploy(AlarmEmail=EMAIL)
    assert told[alarm]["AlarmActions"] == told[alarm]["OKActions"] == ["AlarmTopic"]
    assert alarm not in deploy().resources


@pytest.mark.parametrize("alarm", RINGS)
def test_operators_find_what_an_alarm_means_and_what_to_do(alarm: str) -> None:
    entries = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert re.search(rf"^(\*\*`\w+`\*\*, )*\*\*`{alarm}`\*\*(, |: )", entries, re.MULTILINE)


def test_every_queue_is_watched_for_its_age_and_for_its_dead_letters() -> None:
    mappings = deploy().of_type("AWS::Lambda::EventSourceMapping").values()
    queues = {mapping["EventSourceArn"].removesuffix(".Arn") for mapping in mappings}
    dead = {deploy()[queue]["RedrivePolicy"]["deadLetterTargetArn"].removesuffix(".Arn") for queue in queues}

    def names(metrics: list[Metric], wanted: str) -> set[str]:
        return {value.removesuffix(".QueueName") for _, name, d in metrics if name == wanted for _, value in d}

    assert names(watched(alarms()["QueueAgeAlarm"]), "ApproximateAgeOfOldestMessage") == queues
    ringing = [item for name, alarm in alarms().items() if name.endswith("DeadLetterAlarm") for item in watched(alarm)]
    assert names(ringing, "ApproximateNumberOfMessagesVisible") == dead
    assert names(shown(), "ApproximateAgeOfOldestMessage") == queues
    assert names(shown(), "NumberOfEmptyReceives") == queues


def test_the_alarms_cost_what_the_decision_says() -> None:
    decisions = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    count = sum(len(watched(alarm)) for alarm in alarms().values())
    assert f"{count} metrics" in " ".join(decisions.split())


def test_cloudwatch_can_publish_to_the_topic() -> None:
    """It cannot use the key alias/aws/sns."""
    assert "KmsMasterKeyId" not in deploy(AlarmEmail=EMAIL)["AlarmTopic"]
