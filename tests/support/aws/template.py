"""Parses template.yaml, and creates its table, queue and mail identity in moto."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from tests.support.aws.intrinsics import Resolver, Template

PATH = Path(__file__).parents[3] / "template.yaml"
# MailFrom has no default, so a test must set it, like a deployment.
PARAMETERS = {"MailFrom": "urlsum@example.org"}


@cache
def load() -> Template:
    """Read the template with every CloudFormation tag in its long form (``!Ref X`` as ``{"Ref": "X"}``)."""
    template: Template = yaml_parse(PATH.read_text(encoding="utf-8"))
    return template


def create_table(dynamodb_client: Any) -> str:
    """Create the task table of the template, including TTL and backups; return its name."""
    name = "TasksTable"
    properties = Resolver(load(), PARAMETERS).resource(name)
    # CloudFormation sets these two by separate calls.
    ttl = properties.pop("TimeToLiveSpecification")
    backups = properties.pop("PointInTimeRecoverySpecification")
    sse = properties.pop("SSESpecification")
    dynamodb_client.create_table(
        TableName=name, SSESpecification={"Enabled": sse.pop("SSEEnabled"), **sse}, **properties
    )
    dynamodb_client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    dynamodb_client.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
    dynamodb_client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=backups)
    return name


def create_queue(sqs_client: Any) -> str:
    """Create the queue of new tasks and its dead-letter queue, as in the template; return the former's URL."""
    return _with_dead_letters(sqs_client, "TasksQueue", "DeadLetterQueue")


def create_continuations_queue(sqs_client: Any) -> str:
    """Create the queue of continuations and its dead-letter queue, as in the template; return the former's URL."""
    return _with_dead_letters(sqs_client, "ContinuationsQueue", "ContinuationsDeadLetterQueue")


def _with_dead_letters(sqs_client: Any, queue: str, dead_letter_queue: str) -> str:
    dead_letters = _create_queue(sqs_client, dead_letter_queue, Resolver(load(), PARAMETERS))
    arn = sqs_client.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return _create_queue(sqs_client, queue, Resolver(load(), PARAMETERS, {(dead_letter_queue, "Arn"): arn}))


def create_mail_identity(sesv2_client: Any) -> str:
    """Create the sender's identity of the template; return it."""
    identity: str = Resolver(load(), PARAMETERS).resource("MailSender")["EmailIdentity"]
    sesv2_client.create_email_identity(EmailIdentity=identity)
    return identity


def _create_queue(sqs_client: Any, resource: str, resolve: Resolver) -> str:
    properties = resolve.resource(resource)
    name = properties.pop("QueueName", resource)
    url: str = sqs_client.create_queue(QueueName=name, Attributes={k: _attribute(v) for k, v in properties.items()})[
        "QueueUrl"
    ]
    return url


def _attribute(value: Any) -> str:
    # SQS accepts every attribute as a string, policies as JSON.
    return value if isinstance(value, str) else json.dumps(value)
