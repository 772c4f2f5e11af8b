"""template.yaml as deployed with given parameters: translated, with every intrinsic function resolved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.aws import template, translation
from tests.support.aws.intrinsics import Resolver


@dataclass(frozen=True)
class Deployment:
    """The resources of a stack by logical id or type, without those whose condition is false."""

    resolver: Resolver
    resources: dict[str, dict[str, Any]]

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Return the properties of the resource with this logical id. Raises KeyError."""
        properties: dict[str, Any] = self.resources[name]["Properties"]
        return properties

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of every resource of a type such as ``AWS::SQS::Queue``, by logical id."""
        return {name: item["Properties"] for name, item in self.resources.items() if item["Type"] == kind}


@cache
def deploy(**parameters: str | int) -> Deployment:
    """Deploy with these parameters over the template's defaults."""
    chosen = {**template.PARAMETERS, **parameters}
    translated = translation.translate(template.load(), chosen)
    resolver = Resolver(translated, chosen)
    return Deployment(
        resolver,
        {
            name: resolver(resource)
            for name, resource in translated["Resources"].items()
            if "Condition" not in resource or resolver.condition(resource["Condition"])
        },
    )
