"""The judge of roles: what a statement allows, what a request asks for, and the verdict both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.aws.judge import UNKNOWN, Call, allows, arn, read, split, verdict

ROLE = "role"
TABLE = arn("dynamodb", "table/tasks")
GET = Call("10.0.0.2", ROLE, "dynamodb:GetItem", TABLE)
SENT = Call(
    "10.0.0.2", ROLE, "ses:SendEmail", arn("ses", "identity/a@b.example"), (("ses:FromAddress", "a@b.example"),)
)


def statement(action: str | list[str], resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def request(service: str, body: dict[str, Any], *, target: str = "", path: str = "/") -> list[Call]:
    environ = {
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={ROLE}/20261127/us-east-1/{service}/aws4_request",
        "HTTP_X_AMZ_TARGET": target,
        "REMOTE_ADDR": "10.0.0.2",
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
    }
    return read(environ, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (statement("dynamodb:GetItem", TABLE), True),
        (statement(["dynamodb:PutItem", "dynamodb:GetItem"], [None, TABLE]), True),
        (statement("dynamodb:*", "*"), True),
        (statement("dynamodb:PutItem", TABLE), False),
        (statement("dynamodb:GetItem", f"{TABLE}/index/due"), False),
        (statement("dynamodb:GetItem", TABLE + "?"), False),
    ],
)
def test_a_statement_allows_its_actions_on_its_resources(given: dict[str, Any], *, allowed: bool) -> None:
    assert allows(given, GET) is allowed


@pytest.mark.parametrize(("sender", "allowed"), [("a@b.example", True), ("c@b.example", False)])
def test_a_condition_compares_what_the_request_says(sender: str, *, allowed: bool) -> None:
    given = statement("ses:SendEmail", "*", Condition={"StringEquals": {"ses:FromAddress": sender}})
    assert allows(given, SENT) is allowed
    assert allows(given, Call("", ROLE, "ses:SendEmail", SENT.resource)) is False


@pytest.mark.parametrize(
    "given",
    [
        {**statement("*", "*"), "Effect": "Deny"},
        {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"},
        statement("*", "*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
    ],
)
def test_what_the_judge_cannot_weigh_is_no_verdict(given: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError):
        allows(given, GET)


@pytest.mark.parametrize(
    ("service", "target", "body", "action", "resource"),
    [
        ("dynamodb", "DynamoDB_20120810.GetItem", {"TableName": "tasks"}, "dynamodb:GetItem", TABLE),
        (
            "dynamodb",
            "DynamoDB_20120810.Query",
            {"TableName": "tasks", "IndexName": "due"},
            "dynamodb:Query",
            f"{TABLE}/index/due",
        ),
        (
            "dynamodb",
            "DynamoDB_20120810.BatchGetItem",
            {"RequestItems": {"tasks": {"Keys": []}}},
            "dynamodb:BatchGetItem",
            TABLE,
        ),
        ("dynamodb", "DynamoDB_20120810.TransactWriteItems", {}, "dynamodb:TransactWriteItems", UNKNOWN),
        ("sqs", "AmazonSQS.SendMessage", {"QueueUrl": "https://x/1/q"}, "sqs:SendMessage", arn("sqs", "q")),
        ("ssm", "AmazonSSM.GetParameter", {"Name": "/u/s"}, "ssm:GetParameter", arn("ssm", "parameter/u/s")),
        ("s3", "", {}, "s3:unknown", UNKNOWN),
    ],
)
def test_a_request_is_read_as_an_action_on_a_resource(
    service: str, target: str, body: dict[str, Any], action: str, resource: str
) -> None:
    [call] = request(service, body, target=target)
    assert (call.role, call.action, call.resource) == (ROLE, action, resource)


def test_an_email_is_read_as_sent_by_its_identity() -> None:
    body = {"FromEmailAddress": "urlsum <a@b.example>"}
    assert request("ses", body, path="/v2/email/outbound-emails") == [SENT]


def test_an_email_needs_its_configuration_set_as_well() -> None:
    body = {"FromEmailAddress": "a@b.example", "ConfigurationSetName": "set"}
    identity, configuration = request("ses", body, path="/v2/email/outbound-emails")
    assert (identity, configuration.resource) == (SENT, arn("ses", "configuration-set/set"))


def test_the_verdict_names_denied_calls_and_unused_permissions() -> None:
    put = Call("10.0.0.2", ROLE, "dynamodb:PutItem", TABLE)
    held = split(ROLE, [statement(["dynamodb:GetItem", "dynamodb:UpdateItem"], TABLE)])
    found = verdict([GET, put], held)
    assert found.denied == {put}
    assert [permission.action for permission in found.unused] == ["dynamodb:UpdateItem"]
    # Another role's permission is no help.
    assert verdict([GET], split("other", [statement("dynamodb:GetItem", TABLE)])).denied == {GET}
