"""What each function may do: these statements and no others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.aws.deployment import Deployment, deploy

FUNCTIONS = ("SubmitFunction", "CheckFunction", "HashWorkerFunction", "SweeperFunction")
IDENTITY = "arn:aws:ses:us-east-1:123456789012:identity/"
MAIL_FROM = "urlsum@example.org"


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
        {"Action": ["sqs:SendMessage"], "Resource": "TasksQueue.Arn"},
    ]


def test_check_reads_and_cancels() -> None:
    assert statements(deploy(), "CheckFunction") == [
        logs("CheckLogs"),
        {"Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"], "Resource": "TasksTable.Arn"},
    ]


def test_the_sweeper_reads_the_index_and_single_tasks_and_sends() -> None:
    assert statements(deploy(), "SweeperFunction") == [
        logs("SweeperLogs"),
        {"Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"], "Resource": "TasksTable.Arn"},
        {"Action": ["dynamodb:Query"], "Resource": "TasksTable.Arn/index/due"},
        {"Action": ["sqs:SendMessage"], "Resource": "TasksQueue.Arn"},
    ]


def test_the_worker_reads_writes_takes_messages_and_mails_as_one_sender() -> None:
    assert statements(deploy(), "HashWorkerFunction") == [
        logs("HashWorkerLogs"),
        {"Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"], "Resource": "TasksTable.Arn"},
        {
            "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"],
            "Resource": "TasksQueue.Arn",
        },
        {
            "Action": ["ses:SendEmail"],
            "Resource": [IDENTITY + MAIL_FROM],
            "Condition": {"StringEquals": {"ses:FromAddress": MAIL_FROM}},
        },
    ]


@pytest.mark.parametrize(
    ("parameters", "resources"),
    [
        ({"MailIdentity": "example.org"}, [IDENTITY + "example.org"]),
        ({"SandboxRecipient": "me@example.com"}, [IDENTITY + MAIL_FROM, IDENTITY + "me@example.com"]),
    ],
)
def test_mail_goes_through_the_chosen_identities(parameters: dict[str, str], resources: list[str]) -> None:
    assert statements(deploy(**parameters), "HashWorkerFunction")[-1]["Resource"] == resources


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_allowed_by_a_wildcard(function: str) -> None:
    for statement in statements(deploy(SandboxRecipient="me@example.com"), function):
        resources = statement["Resource"]
        assert "*" not in "".join([*statement["Action"], *([resources] if isinstance(resources, str) else resources)])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_lambda_runs_as_the_roles(function: str) -> None:
    [trust] = role(deploy(), function)["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
