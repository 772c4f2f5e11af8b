"""A deployment without an account: the built stack in moto, each function in a container with its environment and role.

From the build on everything is as on AWS: `sam package`, the translation, CloudFormation, an event of the API, records
of the queues, an event of the schedule. Each call of AWS is judged by the role that the stack gave the function.
"""

from __future__ import annotations

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from scripts.sam_build import ROOT
from tests.infrastructure.test_functions import FUNCTIONS
from tests.support.aws import earlier
from tests.support.aws.deployed import (
    BODY,
    DONE_SECONDS,
    MD5,
    RECIPIENT,
    Deployment,
    deployed,
    emails,
    lose_messages,
    put_off,
    without,
)
from tests.support.aws.judge import verdict
from tests.support.aws.lambda_service import OF_A_MAPPING, OF_EVERY_FUNCTION
from tests.support.aws.moto_stack import DROPPED, UNMADE, package
from tests.support.processes.lambda_container import emulator, need_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.sam, pytest.mark.docker, pytest.mark.timeout(300)]

BUILD = ROOT / ".aws-sam" / "build"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    need_image()
    emulator()
    with deployed(BUILD, tmp_path_factory.mktemp("code")) as running:
        yield running


# --- From the submission to the email. Each step uses permissions, which the tests below count.


def test_a_file_is_submitted_queued_hashed_and_emailed(deployment: Deployment) -> None:
    accepted = deployment.submit("/file", email=RECIPIENT, key="key-1")
    assert accepted.status == 202
    task_id = accepted.json()["id"]
    # A repeated submission is the same task, and its message goes to the other queue.
    assert deployment.submit("/file", email=RECIPIENT, key="key-1").json()["id"] == task_id
    # In another deployment it is the worker that needs the secret first.
    deployment.stack.moto.client("ssm").delete_parameter(Name="/urlsum/urlsum/secret")
    result = deployment.final(task_id)
    assert (result["status"], result["md5"], result["size"]) == ("done", MD5, len(BODY))
    while deployment.lambdas.poll():
        pass
    [email] = emails(task_id)
    assert MD5 in email.body
    assert RECIPIENT in str(email.destinations)


def test_a_browser_gets_pages(deployment: Deployment) -> None:
    html = {"Accept": "text/html"}
    form = deployment.lambdas.request("GET", "/", **html)
    assert (form.status, b'<form method="post" action="/submit"' in form.body) == (200, True)
    task_id = deployment.submit("/file").json()["id"]
    deployment.final(task_id)
    page = deployment.check(task_id, **html)
    assert (page.headers["content-type"], MD5.encode() in page.body) == ("text/html; charset=utf-8", True)


def test_a_cancelled_task_is_not_read(deployment: Deployment) -> None:
    task_id = deployment.submit("/cancelled").json()["id"]
    cancelled = deployment.lambdas.request("DELETE", f"/check?id={task_id}")
    assert (cancelled.status, cancelled.json()["status"]) == (200, "cancelled")
    deployment.lambdas.poll()
    assert "/cancelled" not in deployment.origin.asked


def test_worker_and_sweeper_send_tasks_to_the_queue_that_they_belong_to(deployment: Deployment) -> None:
    calls = deployment.stack.moto.judge.calls
    tasks = {deployment.submit(path).json()["id"]: continued for path, continued in (("/1", False), ("/2", True))}
    for task_id, continued in tasks.items():
        put_off(deployment, task_id, seconds=3600, continued=continued)
    before = len(calls)
    assert deployment.lambdas.poll() == 2  # too early: the worker sends other messages
    lose_messages(deployment)
    for task_id, continued in tasks.items():
        put_off(deployment, task_id, seconds=-3600, continued=continued)
    assert deployment.lambdas.tick() == {"resent": 2, "failed": 0, "purged": 0}
    sent = [call.resource.rpartition("-")[2] for call in calls[before:] if call.action == "sqs:SendMessage"]
    assert sorted(sent) == ["continuations", "continuations", "tasks", "tasks"]
    assert [deployment.final(task_id)["md5"] for task_id in tasks] == [MD5, MD5]


def test_a_submission_that_no_queue_accepts_is_withdrawn(deployment: Deployment) -> None:
    judge = deployment.stack.moto.judge
    with without(deployment, "SubmitFunction", "sqs:SendMessage"):
        refused = deployment.submit("/refused", key="key-2")
    assert refused.status == 503
    # The queue refuses as AWS does, and the function takes its row back.
    assert {call.action for call in judge.refused} == {"sqs:SendMessage"}
    judge.refused.clear()
    repeated = deployment.submit("/refused", key="key-2")
    assert deployment.final(repeated.json()["id"])["md5"] == MD5


# --- The permissions, both ways. These need the calls of the tests above.


def test_every_call_is_allowed_and_every_permission_is_used(deployment: Deployment) -> None:
    judge = deployment.stack.moto.judge
    assert judge.refused == []
    found = verdict(judge.calls, deployment.permissions())
    assert (found.denied, sorted(found.unused)) == (frozenset(), [])


def test_what_lambda_calls_for_a_function_is_no_call_of_the_function(deployment: Deployment) -> None:
    actions: dict[bool, set[str]] = {True: set(), False: set()}
    for call in deployment.stack.moto.judge.calls:
        actions[call.sender == deployment.lambdas.network.gateway].add(call.action)
    assert actions[True] == OF_EVERY_FUNCTION | OF_A_MAPPING
    assert not actions[False] & (OF_EVERY_FUNCTION | OF_A_MAPPING - {"sqs:GetQueueAttributes"})


def test_no_permission_can_be_taken_away_unnoticed(deployment: Deployment) -> None:
    held = deployment.permissions()
    calls = deployment.stack.moto.judge.calls
    unnoticed = [p for p in held if not verdict(calls, {q: s for q, s in held.items() if q != p}).denied]
    assert unnoticed == []


# --- What moto is, and what it is not


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_container_has_the_environment_of_the_translation(deployment: Deployment, function: str) -> None:
    deployed = deployment.stack.configuration(function)["Environment"]["Variables"]
    assert deployed == deployment.stack.resource(function)["Environment"]["Variables"]
    reserved = deployment.lambdas.reserved(function)
    assert not deployed.keys() & reserved.keys()
    container = deployment.lambdas.container(function).environment()
    image = {"PATH", "LD_LIBRARY_PATH", "LANG", "TZ", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "PIP_CERT"}
    own = {name: value for name, value in container.items() if name not in image | {"PIP_ROOT_USER_ACTION"}}
    assert own == deployed | reserved


def test_moto_makes_everything_but_what_is_named(deployment: Deployment) -> None:
    resolver, made = deployment.stack.resolver(), deployment.stack.physical
    wanted = {
        name: resource["Type"]
        for name, resource in deployment.stack.translated["Resources"].items()
        if "Condition" not in resource or resolver.condition(resource["Condition"])
    }
    assert {wanted[name] for name in wanted.keys() - made.keys()} <= UNMADE.keys()
    assert not UNMADE.keys() & {wanted[name] for name in made}
    assert made.keys() <= wanted.keys()


def test_what_moto_forgets_is_right_in_the_translation(deployment: Deployment) -> None:
    stack = deployment.stack
    given = {
        kind: {name for r in stack.translated["Resources"].values() if r["Type"] == kind for name in r["Properties"]}
        for kind in DROPPED
    }
    assert all(names <= given[kind] for kind, names in DROPPED.items())
    # The proof takes over as soon as moto remembers one of them.
    table = stack.moto.client("dynamodb")
    name = stack.physical["TasksTable"]
    assert table.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
    backups = table.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    assert "SSEDescription" not in table.describe_table(TableName=name)["Table"]
    for function in FUNCTIONS:
        assert "LoggingConfig" not in stack.configuration(function)
    properties = stack.resource("TasksTable")
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["SSESpecification"] == {"SSEEnabled": True}
    assert stack.resource("HashWorkerFunction")["RecursiveLoop"] == "Allow"
    # Expiry is by an attribute that the functions write, as seconds in the future.
    attribute = properties["TimeToLiveSpecification"]["AttributeName"]
    items = [item for item in table.scan(TableName=name)["Items"] if "url" in item]
    assert items
    assert all(int(item[attribute]["N"]) > time.time() for item in items)
    # Dead letters come from the queues that name their dead-letter queue.
    queues = stack.moto.client("sqs")
    for queue, letters in (("TasksQueue", "DeadLetterQueue"), ("ContinuationsQueue", "ContinuationsDeadLetterQueue")):
        found = queues.get_queue_attributes(QueueUrl=stack.physical[queue], AttributeNames=["QueueArn"])["Attributes"]
        assert stack.resource(letters)["RedriveAllowPolicy"]["sourceQueueArns"] == [found["QueueArn"]]
    # Every function has the one layer, and logs JSON into a group that the stack made.
    layers = {name for name, r in stack.translated["Resources"].items() if r["Type"] == "AWS::Lambda::LayerVersion"}
    assert {stack.layer(function) for function in FUNCTIONS} == layers
    groups = {group["logGroupName"] for group in stack.moto.client("logs").describe_log_groups()["logGroups"]}
    for function in FUNCTIONS:
        assert stack.resource(function)["LoggingConfig"]["LogGroup"] in groups
        lines = deployment.lambdas.container(function).lines()
        assert all("function" in line and line.keys() & {"_aws", "message"} for line in lines)


# --- Updates


@pytest.fixture(scope="module")
def previous(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of an earlier commit."""
    return earlier.earlier_build(BUILD, tmp_path_factory.mktemp("earlier"))


def in_flight(deployment: Deployment, path: str, change: Callable[[], None]) -> None:
    """Let ``change`` happen while a worker reads a file; the next one ends the task, once."""
    origin = deployment.origin
    for event in (origin.reached, origin.go, origin.again):
        event.clear()
    task_id = deployment.submit(path, email=RECIPIENT).json()["id"]
    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(deployment.lambdas.poll)
        try:
            assert origin.reached.wait(DONE_SECONDS)
            change()
        finally:
            origin.go.set()
        assert polling.result() == 1
    origin.again.set()
    half = deployment.table.get(task_id)
    assert (half.complete, half.checkpoint is not None) == (False, True)
    result = deployment.final(task_id)
    assert (result["status"], result["md5"]) == ("done", MD5)
    while deployment.lambdas.poll():
        pass
    assert len(emails(task_id)) == 1
    assert deployment.table.get(task_id).due_at is None  # the sweeper has nothing to do with it any more


def test_the_recipe_rolls_back_and_an_update_goes_forward_while_a_file_is_read(
    deployment: Deployment, previous: Path
) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    block = text.partition("\n## Upgrade and roll back on AWS\n")[2].partition("```sh\n")[2].partition("```")[0]
    commands = [shlex.split(line) for line in block.splitlines()]
    # The fixture has checked out and built; what follows is the deployment.
    assert [(command[0], command[1]) for command in commands] == [
        ("git", "checkout"),
        ("make", "sam-build"),
        (".venv-sam/bin/sam", "deploy"),
    ]
    package(previous, deployment.stack.moto)  # `sam deploy` does so, too, before anything changes
    new = {function: deployment.stack.configuration(function)["CodeSha256"] for function in FUNCTIONS}
    layer = deployment.stack.layer("HashWorkerFunction")
    in_flight(deployment, "/cut/back", lambda: deployment.stack.update(previous))
    assert deployment.stack.layer("HashWorkerFunction") != layer
    in_flight(deployment, "/cut/forward", lambda: deployment.stack.update(BUILD))
    assert deployment.stack.layer("HashWorkerFunction") == layer
    assert {function: deployment.stack.configuration(function)["CodeSha256"] for function in FUNCTIONS} == new
    assert deployment.stack.moto.judge.refused == []
