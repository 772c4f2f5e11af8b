"""dev and prod: the conditions of the template, and the sections of samconfig.toml that choose them."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.support.aws import template
from tests.support.aws.deployment import deploy

CONFIG = template.PATH.parent / "samconfig.toml"
STAGES = ("dev", "prod")


def section(name: str) -> dict[str, Any]:
    """One section of samconfig.toml."""
    found: dict[str, Any] = tomllib.loads(CONFIG.read_text(encoding="utf-8"))[name]
    return found


def overrides(stage: str) -> dict[str, str]:
    """The parameters that a stage sets."""
    return dict(pair.split("=", 1) for pair in section(stage)["deploy"]["parameters"]["parameter_overrides"])


def retention(**parameters: str | int) -> dict[str, int]:
    """Days that each log group keeps its lines."""
    groups = deploy(**parameters).of_type("AWS::Logs::LogGroup")
    return {name: group["RetentionInDays"] for name, group in groups.items()}


@pytest.mark.parametrize(("stage", "protected"), [("dev", False), ("prod", True)])
def test_only_prod_protects_its_table_from_deletion(stage: str, protected: bool) -> None:
    assert deploy(Stage=stage)["TasksTable"]["DeletionProtectionEnabled"] is protected


@pytest.mark.parametrize(("stage", "days"), [("dev", 14), ("prod", 90)])
def test_every_log_is_kept_for_the_days_of_its_stage(stage: str, days: int) -> None:
    assert retention(Stage=stage) == dict.fromkeys(
        ("ApiLogs", "SubmitLogs", "CheckLogs", "HashWorkerLogs", "SweeperLogs"), days
    )


def test_every_stage_that_may_be_chosen_has_a_mapping_and_a_section() -> None:
    allowed = template.load()["Parameters"]["Stage"]["AllowedValues"]
    assert sorted(allowed) == sorted(template.load()["Mappings"]["Stages"]) == sorted(STAGES)
    assert tomllib.loads(CONFIG.read_text(encoding="utf-8")).keys() - {"version", "default"} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_section_deploys_its_own_stage_under_its_own_name(stage: str) -> None:
    assert overrides(stage)["Stage"] == stage
    assert section(stage)["global"]["parameters"]["stack_name"] == f"urlsum-{stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_section_sets_only_parameters_that_the_template_has_to_values_that_it_takes(stage: str) -> None:
    for name, value in overrides(stage).items():
        parameter = template.load()["Parameters"][name]
        assert value in parameter.get("AllowedValues", [value])
        assert re.search(parameter.get("AllowedPattern", ""), value)


def test_prod_shows_its_changes_before_it_makes_them() -> None:
    assert section("prod")["deploy"]["parameters"]["confirm_changeset"] is True


@pytest.mark.parametrize("stage", ["default", *STAGES])
def test_validate_lints(stage: str) -> None:
    assert section(stage)["validate"]["parameters"]["lint"] is True


def test_an_identity_is_created_unless_one_is_named() -> None:
    assert deploy(MailFrom="sums@example.com")["MailSender"] == {"EmailIdentity": "sums@example.com"}
    assert "MailSender" not in deploy(MailIdentity="example.org").resources


def test_the_address_of_alarms_subscribes_to_their_topic() -> None:
    told = deploy(AlarmEmail="ops@example.org")
    assert told["AlarmTopic"]["Subscription"] == [{"Protocol": "email", "Endpoint": "ops@example.org"}]
    assert "AlarmTopic" not in deploy().resources


@pytest.mark.parametrize("stage", STAGES)
def test_every_resource_carries_the_service_and_the_stage(stage: str) -> None:
    # CloudFormation passes the tags of a stack on.
    assert section(stage)["deploy"]["parameters"]["tags"] == ["service=urlsum", f"stage={stage}"]


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("MailFrom", "urlsum@example.org", "urlsum <urlsum@example.org>"),
        ("AlarmEmail", "", "nobody"),
        ("SandboxRecipient", "me@example.org", "example.org"),
        ("PublicUrl", "https://sums.example.org", "http://sums.example.org"),
        ("DomainName", "sums.example.org", "https://sums.example.org"),
        ("CertificateArn", "arn:aws:acm:eu-central-1:123456789012:certificate/1", "sums.example.org"),
        ("HostedZoneId", "Z0123456789ABCDEFGHIJ", "/hostedzone/Z1"),
        ("RestoredTable", "urlsum-prod-restored", "arn:aws:dynamodb:eu-central-1:123456789012:table/t"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_deployed(parameter: str, good: str, bad: str) -> None:
    pattern = template.load()["Parameters"][parameter]["AllowedPattern"]
    assert re.search(pattern, good)
    assert not re.search(pattern, bad)


def test_the_outputs_name_what_an_operator_looks_for() -> None:
    resolver = deploy().resolver
    assert {name: resolver.output(name) for name in resolver.template["Outputs"]} == {
        "ApiUrl": "https://Api.execute-api.us-east-1.amazonaws.com",
        "DomainTarget": "Domain.RegionalDomainName",
        "TasksTableName": "TasksTable",
        "TasksQueueUrl": "TasksQueue",
        "ContinuationsQueueUrl": "ContinuationsQueue",
        "ContinuationsDeadLetterQueueUrl": "ContinuationsDeadLetterQueue",
        "DeadLetterQueueUrl": "DeadLetterQueue",
    }
