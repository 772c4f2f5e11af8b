"""What protects a stack and its data: a restored table, a domain of one's own, two stacks side by side."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import xform_name
from moto import mock_aws

from tests.infrastructure.test_functions import FUNCTIONS, environment
from tests.infrastructure.test_permissions import statements
from tests.support.aws import template
from tests.support.aws.deployment import deploy
from tests.support.stores.tables import new_task
from urlsum.tables.dynamodb import DynamoTaskTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import Shape

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
RESTORED = "urlsum-prod-restored"
DOMAIN = {
    "DomainName": "sums.example.org",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/1",
    "HostedZoneId": "Z123",
}


# --- A table that was restored from a backup


def test_every_function_uses_the_restored_table_and_may_touch_no_other() -> None:
    deployment = deploy(RestoredTable=RESTORED)
    arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{RESTORED}"
    for function in FUNCTIONS:
        assert environment(function, RestoredTable=RESTORED)["TASKS_TABLE"] == RESTORED
        tables = {s["Resource"] for s in statements(deployment, function) if s["Action"][0].startswith("dynamodb:")}
        assert tables
        assert tables <= {arn, f"{arn}/index/due"}
    assert deployment.resolver.output("TasksTableName") == RESTORED
    assert f'"TableName", "{RESTORED}"' in deployment["Dashboard"]["DashboardBody"]


def test_a_restored_table_is_allowed_what_the_own_one_is() -> None:
    own, restored = deploy(), deploy(RestoredTable=RESTORED)
    for function in FUNCTIONS:
        assert [s["Action"] for s in statements(own, function)] == [s["Action"] for s in statements(restored, function)]


def recipe(heading: str) -> list[list[str]]:
    """The commands of the first block below a heading of the run-book, as words."""
    text = OPERATIONS.read_text(encoding="utf-8").partition(f"\n### {heading}\n")[2]
    block = text.partition("```sh\n")[2].partition("```")[0].replace("\\\n", " ")
    return [shlex.split(line) for line in block.splitlines() if line.startswith("aws ")]


def value(shape: Shape, text: str) -> Any:
    """A parameter of the AWS CLI: JSON, its shorthand `Name=value,…`, or a plain value."""
    if shape.type_name == "structure":
        pairs = dict(pair.split("=", 1) for pair in text.split(","))
        members: dict[str, Shape] = shape.members  # type: ignore[attr-defined] # a structure has members
        return {name: value(members[name], item) for name, item in pairs.items()}
    if shape.type_name == "boolean":
        return {"true": True, "false": False}[text]
    return json.loads(text) if text.startswith(("{", "[")) else text


def call(words: list[str], variables: dict[str, str]) -> Any:
    """Execute a command of the AWS CLI by boto3. Raises KeyError for an option that its operation does not have."""
    _, service, operation, *options = words
    client: Any = boto3.client(service)  # type: ignore[call-overload] # the service is a variable
    if operation == "wait":
        return client.get_waiter(options[0].replace("-", "_")).wait(TableName=variables["RESTORED"])
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    names = {f"--{xform_name(name, '-')}": name for name in shape.members}
    arguments: dict[str, Any] = {}
    while options:
        option = options.pop(0)
        name = names.get(option) or names[option.replace("--no-", "--", 1)]
        if shape.members[name].type_name == "boolean":
            arguments[name] = not option.startswith("--no-")
        else:
            text = re.sub(r"\$(\w+)", lambda match: variables[match[1]], options.pop(0))
            arguments[name] = value(shape.members[name], text)
    return getattr(client, method)(**arguments)


@pytest.fixture
def lost() -> Iterator[DynamoTaskTable]:
    """The table of the template in moto, with one task."""
    with mock_aws():
        yield DynamoTaskTable(template.create_table(boto3.client("dynamodb")))


def test_the_recipe_makes_a_table_that_is_like_the_first_and_holds_its_tasks(lost: DynamoTaskTable) -> None:
    task = new_task()
    lost.add(task)
    commands = recipe("Restore the table on AWS")
    assert len(commands) == 6
    for words in commands:
        call(words, {"TABLE": "TasksTable", "RESTORED": RESTORED})
    client = boto3.client("dynamodb")
    assert DynamoTaskTable(RESTORED).get(task.id) == task
    described = client.describe_table(TableName=RESTORED)["Table"]
    wanted = client.describe_table(TableName="TasksTable")["Table"]
    assert described["KeySchema"] == wanted["KeySchema"]
    assert [index["IndexName"] for index in described["GlobalSecondaryIndexes"]] == ["due"]
    assert described["DeletionProtectionEnabled"] is True
    # A backup holds neither of these settings.
    ttl = client.describe_time_to_live(TableName=RESTORED)["TimeToLiveDescription"]
    assert ttl["AttributeName"] == deploy()["TasksTable"]["TimeToLiveSpecification"]["AttributeName"]
    backups = client.describe_continuous_backups(TableName=RESTORED)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    # The sweeper finds what was unfinished by the index of the restored table.
    assert list(DynamoTaskTable(RESTORED).due(task.created_at + 1, 10)) == [task.id]


def test_termination_protection_is_switched_on_for_the_stack_of_prod() -> None:
    [command] = recipe("Protect the stack")
    assert command[1:3] == ["cloudformation", "update-termination-protection"]
    assert {"--enable-termination-protection", "urlsum-prod"} <= set(command)


# --- A domain of one's own


def test_a_domain_leads_to_the_api_and_replaces_the_address_of_aws() -> None:
    deployment = deploy(**DOMAIN)
    assert deployment["Domain"]["DomainName"] == DOMAIN["DomainName"]
    [configuration] = deployment["Domain"]["DomainNameConfigurations"]
    assert (configuration["CertificateArn"], configuration["SecurityPolicy"]) == (DOMAIN["CertificateArn"], "TLS_1_2")
    mapping = {"ApiId": "Api", "DomainName": "Domain", "Stage": "ApiApiGatewayDefaultStage"}
    assert deployment["DomainMapping"] == mapping
    assert deployment["DomainRecord"]["AliasTarget"]["DNSName"] == "Domain.RegionalDomainName"
    [server] = deployment["Api"]["Body"]["servers"]
    assert server["x-amazon-apigateway-endpoint-configuration"] == {"disableExecuteApiEndpoint": True}
    assert deployment.resolver.output("ApiUrl") == "https://sums.example.org"


def test_without_a_domain_the_address_of_aws_is_the_one() -> None:
    deployment = deploy()
    assert {"Domain", "DomainMapping", "DomainRecord"}.isdisjoint(deployment.resources)
    [server] = deployment["Api"]["Body"]["servers"]
    assert server["x-amazon-apigateway-endpoint-configuration"] == {"disableExecuteApiEndpoint": False}


def test_whoever_has_the_records_elsewhere_gets_what_they_point_to() -> None:
    deployment = deploy(**{**DOMAIN, "HostedZoneId": ""})
    assert "DomainRecord" not in deployment.resources
    assert deployment.resolver.output("DomainTarget") == "Domain.RegionalDomainName"


@pytest.mark.parametrize("function", ["SubmitFunction", "CheckFunction", "HashWorkerFunction"])
def test_links_lead_to_the_domain_unless_something_stands_in_front_of_it(function: str) -> None:
    assert environment(function, **DOMAIN)["PUBLIC_URL"] == "https://sums.example.org"
    cdn = "https://www.example.org/sums"
    assert environment(function, **DOMAIN, PublicUrl=cdn)["PUBLIC_URL"] == cdn


def test_the_addresses_behind_the_domain_are_those_of_the_gateway_which_many_share() -> None:
    assert environment("HashWorkerFunction", **DOMAIN)["SHARED_NETWORKS"] == "0.0.0.0/0,::/0"


@pytest.mark.parametrize(
    ("rule", "given", "needed"),
    [("DomainHasCertificate", "DomainName", "CertificateArn"), ("RecordHasDomain", "HostedZoneId", "DomainName")],
)
def test_half_a_domain_is_refused_before_anything_is_deployed(rule: str, given: str, needed: str) -> None:
    found = template.load()["Rules"][rule]
    assert found["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": given}, ""]}]}
    [assertion] = found["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": needed}, ""]}]}


# --- What the gateway answers itself


def test_the_run_book_says_when_the_gateway_answers() -> None:
    section = OPERATIONS.read_text(encoding="utf-8").partition("\n## What the gateway answers itself\n")[2]
    rows = dict(re.findall(r"^\| (\d{3}) \| `[^`]+` \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE))
    assert rows.keys() == {"404", "413", "429", "500", "503"}
    named = set(re.findall(r"`(/[\w.]*)`", rows["404"]))
    assert named == deploy()["Api"]["Body"]["paths"].keys()
    limits = deploy()["ApiApiGatewayDefaultStage"]["DefaultRouteSettings"]
    assert re.findall(r"\d+", rows["429"]) == [str(limits[f"Throttling{name}Limit"]) for name in ("Rate", "Burst")]


# --- Two stacks


def test_a_second_stack_uses_the_sender_of_the_first_and_does_not_own_it() -> None:
    sender = "urlsum@example.org"
    second = deploy(MailFrom=sender, MailIdentity=sender)
    assert "MailSender" not in second.resources
    [mail] = [s for s in statements(second, "HashWorkerFunction") if s["Action"] == ["ses:SendEmail"]]
    identities = {resource for resource in mail["Resource"] if ":identity/" in resource}
    assert identities == {f"arn:aws:ses:us-east-1:123456789012:identity/{sender}"}
