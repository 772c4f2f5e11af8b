"""What was built for one architecture is deployed for no other."""

from __future__ import annotations

import json

import pytest
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from scripts.sam_build import ARCHITECTURES, for_one_architecture
from tests.support.aws import template, translation


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_built_template_allows_the_architecture_that_was_built_and_no_other(architecture: str) -> None:
    built = json.loads(for_one_architecture(template.PATH.read_text(encoding="utf-8"), architecture))
    parameter = built["Parameters"]["Architecture"]
    assert (parameter["Default"], parameter["AllowedValues"]) == (architecture, [architecture])
    assert architecture in parameter["ConstraintDescription"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_deployment_that_names_none_gets_what_was_built(architecture: str) -> None:
    built = yaml_parse(for_one_architecture(template.PATH.read_text(encoding="utf-8"), architecture))
    default = {"Architecture": built["Parameters"]["Architecture"]["Default"]}
    translated = translation.translate(built, {**template.PARAMETERS, **default})
    functions = [item for item in translated["Resources"].values() if item["Type"] == "AWS::Lambda::Function"]
    assert len(functions) == 4
    chosen = {json.dumps(function["Properties"]["Architectures"]) for function in functions}
    assert chosen <= {json.dumps([{"Ref": "Architecture"}]), json.dumps([architecture])}


def test_nothing_else_of_the_template_changes() -> None:
    source = template.PATH.read_text(encoding="utf-8")
    before, after = yaml_parse(source), yaml_parse(for_one_architecture(source, "x86_64"))
    assert after["Parameters"].pop("Architecture") != before["Parameters"].pop("Architecture")
    assert after == before
