"""An update is atomic: everything calls the alias of a function, which moves when code and layer are both in place."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from tests.infrastructure.test_functions import FUNCTIONS
from tests.support.aws import template, translation
from tests.support.aws.deployment import deploy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.aws.intrinsics import Template

ALIAS = "live"


def versions(source: Template, layer: str = "s3://bucket/layer-1", **parameters: str | int) -> dict[str, str]:
    """The logical id of each function's version, by function: another id is another version."""
    changed = deepcopy(source)
    translated = translation.translate(changed, {**template.PARAMETERS, **parameters}, packaged={"Layer": layer})
    resources = translated["Resources"]
    assert sum(resource["Type"] == "AWS::Lambda::Version" for resource in resources.values()) == len(FUNCTIONS)
    return {
        resource["Properties"]["FunctionName"]["Ref"]: name
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Version"
    }


def changed_code(source: Template) -> None:
    source["Resources"]["SubmitFunction"]["Properties"]["CodeUri"] = "s3://bucket/submit-2"


def changed_memory(source: Template) -> None:
    source["Resources"]["SubmitFunction"]["Properties"]["MemorySize"] = 512


def changed_variable(source: Template) -> None:
    source["Resources"]["SubmitFunction"]["Properties"]["Environment"]["Variables"]["MAX_BYTES"] = "1"


def test_each_function_has_one_alias_of_its_newest_version() -> None:
    resources = deploy().resources
    for function in FUNCTIONS:
        [version] = [
            name
            for name, properties in deploy().of_type("AWS::Lambda::Version").items()
            if properties["FunctionName"] == function
        ]
        assert deploy()[f"{function}Alias{ALIAS}"] == {
            "Name": ALIAS,
            "FunctionName": function,
            "FunctionVersion": f"{version}.Version",
        }
        # Old versions are deleted once the alias has moved, so their number is bounded.
        assert resources[version]["DeletionPolicy"] == "Delete"


def test_a_changed_layer_publishes_a_version_of_every_function() -> None:
    before, after = versions(template.load()), versions(template.load(), layer="s3://bucket/layer-2")
    assert before.keys() == after.keys() == FUNCTIONS.keys()
    assert all(before[function] != after[function] for function in FUNCTIONS)


def test_an_unchanged_deployment_publishes_nothing() -> None:
    assert versions(template.load()) == versions(template.load())


@pytest.mark.parametrize("change", [changed_code, changed_memory, changed_variable])
def test_a_changed_function_publishes_a_version_of_its_own_alone(change: Callable[[Template], None]) -> None:
    source = deepcopy(template.load())
    change(source)
    before, after = versions(template.load()), versions(source)
    assert [function for function in FUNCTIONS if before[function] != after[function]] == ["SubmitFunction"]


def mentions(value: Any, function: str) -> bool:
    """Whether a resource names the function itself, and not its alias or its version."""
    text = json.dumps(value)
    return f'"{function}"' in text or f"{function}.Arn" in text or f"${{{function}}}" in text


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_calls_a_function_past_its_alias(function: str) -> None:
    # The alias and the version belong to the function; a retry policy names the alias by its qualifier.
    own = {"AWS::Lambda::Version", "AWS::Lambda::Alias"}
    past = {
        name
        for name, resource in deploy().resources.items()
        if resource["Type"] not in own
        and resource.get("Properties", {}).get("Qualifier") != ALIAS
        and mentions(resource.get("Properties", {}), function)
    }
    assert past == set()


def test_the_retry_policy_of_the_sweeper_is_that_of_its_alias() -> None:
    [config] = deploy().of_type("AWS::Lambda::EventInvokeConfig").values()
    assert (config["FunctionName"], config["Qualifier"]) == ("SweeperFunction", ALIAS)
