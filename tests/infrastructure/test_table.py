"""The table: its keys, its index, what protects it, and that tests really get this table."""

from __future__ import annotations

import boto3
import moto
import pytest

from tests.support.aws import template
from tests.support.aws.deployment import deploy


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_a_task_is_found_by_its_id() -> None:
    assert deploy()["TasksTable"]["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]


def test_due_tasks_are_found_in_order_through_an_index_of_keys() -> None:
    [index] = deploy()["TasksTable"]["GlobalSecondaryIndexes"]
    assert index == {
        "IndexName": "due",
        "KeySchema": [
            {"AttributeName": "due_shard", "KeyType": "HASH"},
            {"AttributeName": "due_at", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    types = {item["AttributeName"]: item["AttributeType"] for item in deploy()["TasksTable"]["AttributeDefinitions"]}
    assert types == {"id": "S", "due_shard": "N", "due_at": "N"}


def test_tasks_expire_and_can_be_restored_and_are_encrypted() -> None:
    table = deploy()["TasksTable"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}


def test_nothing_is_paid_for_an_idle_table() -> None:
    assert deploy()["TasksTable"]["BillingMode"] == "PAY_PER_REQUEST"


def test_a_table_that_an_update_replaces_is_kept() -> None:
    assert deploy().resources["TasksTable"]["UpdateReplacePolicy"] == "Retain"


@moto.mock_aws
def test_tests_get_the_table_of_the_template() -> None:
    client = boto3.client("dynamodb")
    name = template.create_table(client)
    table = client.describe_table(TableName=name)["Table"]
    wanted = deploy()["TasksTable"]
    assert table["KeySchema"] == wanted["KeySchema"]
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["due"]
    assert table["BillingModeSummary"]["BillingMode"] == wanted["BillingMode"]
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


@moto.mock_aws
def test_tests_get_the_queue_of_the_template() -> None:
    client = boto3.client("sqs")
    url = template.create_queue(client)
    attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == str(deploy()["TasksQueue"]["VisibilityTimeout"])
    assert attributes["RedrivePolicy"] == (
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:DeadLetterQueue", "maxReceiveCount": 5}'
    )
