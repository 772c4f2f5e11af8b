"""Translates template.yaml from SAM to CloudFormation, offline and without credentials."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import boto3
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

from tests.support.aws.intrinsics import PSEUDO_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.aws.intrinsics import Template

# The form by which `sam package` replaces local folders; the translator accepts no other.
PACKAGED = "s3://bucket/key"
PATHS = ("CodeUri", "ContentUri")


def translate(
    template: Template, parameters: Mapping[str, Any], *, packaged: Mapping[str, str] | None = None
) -> Template:
    """Translate SAM's resources into CloudFormation's.

    ``packaged`` is where ``sam package`` put the folders of resources, by logical id. Parameters go over the template's
    defaults. Raises samtranslator's InvalidDocumentException. The managed policies of AWS are not offered, since their
    list has to be fetched from IAM: a function without a role of its own fails here.
    """
    source = deepcopy(template)
    for logical_id, resource in source["Resources"].items():
        for name in PATHS:
            if not str(resource.get("Properties", {}).get(name, "s3:")).startswith("s3:"):
                resource["Properties"][name] = (packaged or {}).get(logical_id, PACKAGED)
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=PSEUDO_PARAMETERS["AWS::Region"]))
    translated: Template = translator.translate(source, parameter_values=dict(parameters))
    translator.metrics.publish()  # sends nothing, but prevents a warning at exit
    return translated
