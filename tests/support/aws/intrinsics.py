"""Resolves CloudFormation's intrinsic functions offline, as far as template.yaml uses them.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Template = dict[str, Any]

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "urlsum",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()


@dataclass(frozen=True)
class Resolver:
    """Replaces intrinsic functions by their values for given parameters.

    ``parameters`` go over the template's defaults. ``attributes`` gives what ``!Ref`` (with an empty attribute) and
    ``!GetAtt`` of a resource yield; a resource without one yields its logical id. Raises KeyError for a name that the
    template does not have and NotImplementedError for a function that is not here, so that a test never takes an
    unresolved value for a resolved one.
    """

    template: Template
    parameters: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def __call__(self, value: Any) -> Any:
        """``value`` with every function resolved; ``AWS::NoValue`` removes its key or element."""
        if isinstance(value, list):
            return [item for item in map(self, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name in self._functions:
                return self._functions[name](argument)
            if name.startswith("Fn::"):
                raise NotImplementedError(name)
        resolved = {key: self(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def condition(self, name: str) -> bool:
        """Whether the condition ``name`` is true."""
        holds: bool = self(self.template["Conditions"][name])
        return holds

    def resource(self, name: str) -> dict[str, Any]:
        """Resolve the properties of a resource."""
        properties: dict[str, Any] = self(self.template["Resources"][name]["Properties"])
        return properties

    def output(self, name: str) -> Any:
        """Resolve the value of an output."""
        return self(self.template["Outputs"][name]["Value"])

    @property
    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::Equals": lambda pair: self(pair[0]) == self(pair[1]),
            "Fn::Not": lambda one: not self(one[0]),
            "Fn::If": lambda args: self(args[1] if self.condition(args[0]) else args[2]),
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetAtt": lambda args: self._attribute(args[0], args[1]),
            "Fn::Join": lambda args: self(args[0]).join(self(args[1])),
            "Fn::Sub": self._sub,
        }

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO_PARAMETERS:
            return PSEUDO_PARAMETERS[name]
        if name in self.template["Parameters"]:
            return self.parameters[name] if name in self.parameters else self.template["Parameters"][name]["Default"]
        return self._attribute(name, "")

    def _attribute(self, resource: str, attribute: str) -> str:
        if resource not in self.template["Resources"]:
            raise KeyError(resource)
        return self.attributes.get((resource, attribute), f"{resource}.{attribute}" if attribute else resource)

    def _find_in_map(self, path: list[Any]) -> Any:
        value = self.template["Mappings"]
        for key in path:
            value = value[self(key)]
        return value

    def _sub(self, argument: str | list[Any]) -> str:
        text, names = (argument, {}) if isinstance(argument, str) else argument

        def expand(match: re.Match[str]) -> str:
            name = match[1]
            if name in names:
                return str(self(names[name]))
            if "." in name:
                return self._attribute(*name.split(".", 1))
            return str(self._ref(name))

        return re.sub(r"\$\{([^}!]+)\}", expand, text).replace("${!", "${")  # `${!x}` is how one writes `${x}`
