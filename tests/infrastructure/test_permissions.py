"""What each function may do: these statements and no others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.aws.deployment import Deployment, deploy

FUNCTIONS = ("SubmitFunction", "CheckFunction", "HashWorkerFunction", "SweeperFunction")
IDENTITY = "arn:aws:ses:us-east-1:123456789012:identity/"
CONFIGURATION = "arn:aws:ses:us-east-1:123456789012:configuration-set/MailConfiguration"
QUEUES = ["TasksQueue.Arn", "ContinuationsQueue.Arn"]
MAIL_FROM = "urlsum@example.org"
SECRET: dict[str, Any] = {
    "Action": ["ssm:GetParameter", "ssm:PutParameter"],
    "Resource": "arn:aws:ssm:us-east-1:123456789012:parameter/urlsum/urlsum/secret",
}


def role(deployment: Deployment, function: str) -> dict[str, Any]:
    """The role that the function runs as."""
    return deployment[deployment[function]["Role"].removesuffix(".Arn")]


def statements(deployment: Deployment, function: str) -> list[dict[str, Any]]:
    """Every statement of a function's role; nothing may come from elsewhere."""
    found = role(deployment, function)
    assert "ManagedPolicyArns" not in found
    return [
        {"Action": sorted(s["Action"]), **{key: s[key] for key in s if key not in ("Action", "Effect")}}
        for policy in found["Policies"]
        for s in policy["PolicyDocument"]["Statement"]
        if s["Effect"] == "Allow"
    ]


def logs(group: str) -> dict[str, Any]:
    return {"Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": f"{group}.Arn"}


def test_submit_stores_and_sends() -> None:
    assert statements(deploy(), "SubmitFunction") == [
        logs("SubmitLogs"),
        {
            "Action": ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
            "Resource": "TasksTable.Arn",
        },
        {"Action": ["dynamodb:Query"], "Resource": "TasksTable.Arn/index/due"},
        {"Action": ["sqs:SendMessage"], "Resource": QUEUES},
        SECRET,
    ]


def test_check_reads_and_cancels() -> None:
    assert statements(deploy(), "CheckFunction") == [
        logs("CheckLogs"),
        {"Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"], "Resource": "TasksTable.Arn"},
    ]


def test_the_sweeper_reads_the_index_and_single_tasks_and_sends() -> None:
    assert statements(deploy(), "SweeperFunction") == [
        logs("SweeperLogs"),
        {
            "Action": ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:UpdateItem"],
            "Resource": "TasksTable.Arn",
        },
        {"Action": ["dynamodb:Query"], "Resource": "TasksTable.Arn/index/due"},
        {"Action": ["sqs:GetQueueAttributes", "sqs:SendMessage"], "Resource": QUEUES},
    ]


def test_the_worker_reads_writes_takes_messages_and_mails_as_one_sender() -> None:
    assert statements(deploy(), "HashWorkerFunction") == [
        logs("HashWorkerLogs"),
        {"Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"], "Resource": "TasksTable.Arn"},
        {
            "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"],
            "Resource": QUEUES,
        },
        {
            "Action": ["ses:SendEmail"],
            "Resource": [IDENTITY + MAIL_FROM, CONFIGURATION],
            "Condition": {"StringEquals": {"ses:FromAddress": MAIL_FROM}},
        },
        SECRET,
    ]


@pytest.mark.parametrize(
    ("parameters", "resources"),
    [
        ({"MailIdentity": "example.org"}, [IDENTITY + MAIL_FROM, IDENTITY + "example.org", CONFIGURATION]),
        ({"SandboxRecipient": "me@example.com"}, [IDENTITY + MAIL_FROM, CONFIGURATION, IDENTITY + "me@example.com"]),
    ],
)
def test_mail_goes_through_the_chosen_identities(parameters: dict[str, str], resources: list[str]) -> None:
    [sending] = [
        statement
        for statement in statements(deploy(**parameters), "HashWorkerFunction")
        if statement["Action"] == ["ses:SendEmail"]
    ]
    assert sending["Resource"] == resources


def test_the_worker_sends_with_the_configuration_set_that_it_may_use_whatever_the_identity_has() -> None:
    for deployment in (deploy(), deploy(MailIdentity="example.org")):
        name = deployment["HashWorkerFunction"]["Environment"]["Variables"]["SES_CONFIGURATION_SET"]
        assert deployment.of_type("AWS::SES::ConfigurationSet") == {
            name: {"SuppressionOptions": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}}
        }


def test_who_may_use_the_secret_knows_its_name_and_nobody_else_does() -> None:
    names = {function: deploy()[function]["Environment"]["Variables"].get("SECRET_PARAMETER") for function in FUNCTIONS}
    allowed = {function for function in FUNCTIONS if SECRET in statements(deploy(), function)}
    assert allowed == {function for function, name in names.items() if name} == {"SubmitFunction", "HashWorkerFunction"}
    [name] = {name for name in names.values() if name}
    assert SECRET["Resource"].partition(":parameter")[2] == name


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_allowed_by_a_wildcard(function: str) -> None:
    for statement in statements(deploy(SandboxRecipient="me@example.com"), function):
        resources = statement["Resource"]
        assert "*" not in "".join([*statement["Action"], *([resources] if isinstance(resources, str) else resources)])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_lambda_runs_as_the_roles(function: str) -> None:
    [trust] = role(deploy(), function)["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
