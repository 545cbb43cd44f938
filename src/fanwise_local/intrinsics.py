"""CloudFormation's YAML and its intrinsic functions: as much as a template needs to be read, not deployed.

What it does not know it refuses, with the path of the place (intrinsic-function-reference).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

_REFERENCE = re.compile(r"\$\{(!?)([^}]*)\}")
NO_VALUE = object()


class TemplateError(ValueError):
    """A template that cannot be read; the message names the place and what to do."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags: `!Sub x` is `{"Fn::Sub": "x"}`."""


def _short_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_tag)


def load_template(text: str, where: str) -> dict[str, Any]:
    """Read a template's YAML; raises `TemplateError` with line and column."""
    try:
        loaded = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with tags that only build dicts
    except yaml.YAMLError as error:
        raise TemplateError(f"{where}: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("Resources"), dict):
        raise TemplateError(f"{where}: has no Resources; is it a CloudFormation template?")
    return loaded


class Resolver:
    """Resolves the intrinsic functions of one template.

    `references` are the values of Ref by name (parameters, pseudo parameters, resources), `attribute` answers
    GetAtt, `conditions` are the template's Conditions, unresolved.
    """

    def __init__(
        self,
        where: str,
        references: Mapping[str, Any],
        attribute: Callable[[str, str], Any],
        mappings: Mapping[str, Any],
        conditions: Mapping[str, Any],
    ) -> None:
        self._where = where
        self._references = references
        self._attribute = attribute
        self._mappings = mappings
        self._conditions = conditions
        self._functions: dict[str, Callable[[Any, str], Any]] = {
            "Ref": self._ref,
            "Condition": self.condition,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::If": self._if,
            "Fn::Equals": self._equal,
            "Fn::And": lambda v, p: all(self.value(x, p) for x in v),
            "Fn::Or": lambda v, p: any(self.value(x, p) for x in v),
            "Fn::Not": lambda v, p: not self.value(v[0], p),
        }

    def refuse(self, path: str, message: str) -> TemplateError:
        """The error for a place in the template."""
        return TemplateError(f"{self._where}: {path}: {message}")

    def value(self, node: Any, path: str) -> Any:
        """The node with its functions resolved; `AWS::NoValue` leaves no trace."""
        if isinstance(node, dict):
            if len(node) == 1:
                ((name, argument),) = node.items()
                if name in self._functions:
                    return self._functions[name](argument, f"{path}.{name}")
                if name.startswith("Fn::"):
                    raise self.refuse(path, f"{name} is not supported on this machine")
            resolved = {key: self.value(child, f"{path}.{key}") for key, child in node.items()}
            return {key: child for key, child in resolved.items() if child is not NO_VALUE}
        if isinstance(node, list):
            items = [self.value(child, f"{path}[{i}]") for i, child in enumerate(node)]
            return [item for item in items if item is not NO_VALUE]
        return node

    def condition(self, name: str, path: str) -> bool:
        """Whether a named condition holds."""
        if name not in self._conditions:
            raise self.refuse(path, f"there is no condition {name!r}")
        return bool(self.value(self._conditions[name], f"Conditions.{name}"))

    def _ref(self, name: str, path: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name not in self._references:
            raise self.refuse(path, f"there is no parameter or resource {name!r}")
        return self._references[name]

    def _get_att(self, argument: Any, path: str) -> Any:
        name, attribute = argument
        try:
            return self._attribute(name, str(self.value(attribute, path)))
        except KeyError as error:
            raise self.refuse(path, f"{name}.{attribute} is not known on this machine") from error

    def _sub(self, argument: Any, path: str) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        given = self.value(variables, path)

        def replaced(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            if name in given:
                return str(given[name])
            if "." in name:
                return str(self._get_att(name.split(".", 1), path))
            return str(self._ref(name, path))

        return _REFERENCE.sub(replaced, text)

    def _join(self, argument: Any, path: str) -> str:
        delimiter, parts = argument
        return str(delimiter).join(str(part) for part in self.value(parts, path))

    def _select(self, argument: Any, path: str) -> Any:
        index, options = self.value(argument, path)
        try:
            return options[int(index)]
        except (IndexError, ValueError) as error:
            raise self.refuse(path, f"there is no element {index} of {len(options)}") from error

    def _split(self, argument: Any, path: str) -> list[str]:
        delimiter, text = self.value(argument, path)
        return str(text).split(str(delimiter))

    def _find_in_map(self, argument: Any, path: str) -> Any:
        name, top, second = self.value(argument, path)
        try:
            return self._mappings[name][top][second]
        except KeyError as error:
            raise self.refuse(path, f"Mappings.{name}.{top}.{second} does not exist") from error

    def _if(self, argument: Any, path: str) -> Any:
        name, then, otherwise = argument
        return self.value(then if self.condition(name, path) else otherwise, path)

    def _equal(self, argument: Any, path: str) -> bool:
        one, other = self.value(argument, path)
        return str(one) == str(other)
