"""CloudFormation's YAML and its intrinsic functions: as much as a template needs to be read, not deployed.

`template.py` asks for the value of one place after another; only what is asked for is resolved. What is not known
here is refused, with the path of the place (intrinsic-function-reference).
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import yaml

_REFERENCE = re.compile(r"\$\{(!?)([^}]*)\}")
NO_VALUE = object()  # what Ref AWS::NoValue gives: the property is not there


class TemplateError(ValueError):
    """A template that cannot be read; the message names the place and what to do."""


if TYPE_CHECKING:
    from yaml import SafeLoader
else:  # libyaml's, where PyYAML has it: the template takes half a second without
    SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(SafeLoader):
    """YAML with CloudFormation's short tags: `!Sub x` is `{"Fn::Sub": "x"}`. Dates stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}


def _short_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
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


def as_text(value: Any) -> str:
    """A scalar as CloudFormation writes it into text: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Resolver:
    """Resolves the intrinsic functions of one template.

    `reference` gives the value of Ref (parameters, pseudo parameters, resources) and `attribute` that of GetAtt;
    both raise KeyError for what they do not know. `conditions` are the template's Conditions, unresolved.
    """

    def __init__(
        self,
        where: str,
        reference: Callable[[str], Any],
        attribute: Callable[[str, str], Any],
        mappings: Mapping[str, Any],
        conditions: Mapping[str, Any],
    ) -> None:
        self._where = where
        self._reference = reference
        self._attribute = attribute
        self._mappings = mappings
        self._conditions = conditions
        self._open_conditions: set[str] = set()
        self._functions: dict[str, Callable[[Any, str], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find_in_map,
            "Fn::If": self._if,
            "Fn::Equals": self._equals,
            "Fn::And": lambda argument, path: all(self._operands(argument, path, least=2, most=10)),
            "Fn::Or": lambda argument, path: any(self._operands(argument, path, least=2, most=10)),
            "Fn::Not": lambda argument, path: not self._operands(argument, path, least=1, most=1)[0],
        }

    def refuse(self, path: str, message: str) -> TemplateError:
        """The error for a place in the template."""
        return TemplateError(f"{self._where}: {path}: {message}")

    def value(self, node: Any, path: str) -> Any:
        """The node with its functions resolved; what is `AWS::NoValue` leaves no trace, at the top `NO_VALUE`."""
        if isinstance(node, dict):
            if len(node) == 1:
                ((name, argument),) = node.items()
                if name in self._functions:
                    return self._functions[name](argument, f"{path}.{name}")
                if str(name).startswith("Fn::"):
                    raise self.refuse(path, f"{name} is not supported on this machine")
            resolved = {key: self.value(child, f"{path}.{key}") for key, child in node.items()}
            return {key: child for key, child in resolved.items() if child is not NO_VALUE}
        if isinstance(node, list):
            items = [self.value(child, f"{path}[{i}]") for i, child in enumerate(node)]
            return [item for item in items if item is not NO_VALUE]
        return node

    def condition(self, name: Any, path: str) -> bool:
        """Whether a named condition holds."""
        if not isinstance(name, str) or name not in self._conditions:
            raise self.refuse(path, f"there is no condition {name!r}")
        if name in self._open_conditions:
            raise self.refuse(f"Conditions.{name}", "refers to itself")
        self._open_conditions.add(name)
        try:
            return self._holds(self._conditions[name], f"Conditions.{name}")
        finally:
            self._open_conditions.discard(name)

    def _holds(self, node: Any, path: str) -> bool:
        """The truth of a condition function, or of `{"Condition": name}`, which elsewhere is a plain key."""
        if isinstance(node, dict) and node.keys() == {"Condition"}:
            return self.condition(node["Condition"], path)
        value = self.value(node, path)
        if not isinstance(value, bool):
            raise self.refuse(path, f"is {value!r}, neither true nor false")
        return value

    def _operands(self, argument: Any, path: str, *, least: int, most: int) -> list[bool]:
        if not isinstance(argument, list) or not least <= len(argument) <= most:
            raise self.refuse(path, f"needs a list of {least} to {most} conditions")
        return [self._holds(operand, f"{path}[{i}]") for i, operand in enumerate(argument)]

    def _parts(self, argument: Any, shape: str, path: str) -> list[Any]:
        """The argument as a list, as long as the `shape` that an error shows."""
        if not isinstance(argument, list) or len(argument) != len(shape.split(", ")):
            raise self.refuse(path, f"needs [{shape}], and has {argument!r}")
        return argument

    def _text(self, node: Any, path: str) -> str:
        value = self.value(node, path)
        if value is NO_VALUE or isinstance(value, dict | list) or value is None:
            raise self.refuse(
                path, f"is {'nothing' if value is NO_VALUE else repr(value)}, where text is needed"
            )
        return as_text(value)

    def _list(self, node: Any, path: str) -> list[Any]:
        value = self.value(node, path)
        if not isinstance(value, list):
            raise self.refuse(path, f"is {value!r}, where a list is needed")
        return value

    def _ref(self, name: Any, path: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        try:
            return self._reference(name)
        except (KeyError, TypeError) as error:
            raise self.refuse(path, f"there is no parameter or resource {name!r}") from error

    def _get_att(self, argument: Any, path: str) -> Any:
        split = argument.split(".", 1) if isinstance(argument, str) else argument
        name, attribute = self._parts(split, "resource, attribute", path)
        wanted = self._text(attribute, path)
        try:
            return self._attribute(name, wanted)
        except (KeyError, TypeError) as error:
            raise self.refuse(path, f"{name}.{wanted} is not known on this machine") from error

    def _sub(self, argument: Any, path: str) -> str:
        text, variables = (
            (argument, {}) if isinstance(argument, str) else self._parts(argument, "text, variables", path)
        )
        if not isinstance(text, str) or not isinstance(variables, dict):
            raise self.refuse(path, "needs a text, or [text, {variable: value}]")

        def replaced(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            if name in variables:
                return self._text(variables[name], f"{path}.{name}")
            return self._text({"Fn::GetAtt": name} if "." in name else {"Ref": name}, path)

        return _REFERENCE.sub(replaced, text)

    def _join(self, argument: Any, path: str) -> str:
        delimiter, parts = self._parts(argument, "delimiter, values", path)
        return str(delimiter).join(self._text(part, path) for part in self._list(parts, path))

    def _select(self, argument: Any, path: str) -> Any:
        number, values = self._parts(argument, "index, values", path)
        index, options = self._text(number, path), self._list(values, path)
        if not index.isdecimal() or int(index) >= len(options):
            raise self.refuse(path, f"there is no element {index} of {len(options)}")
        return options[int(index)]

    def _split(self, argument: Any, path: str) -> list[str]:
        delimiter, text = self._parts(argument, "delimiter, text", path)
        if not isinstance(delimiter, str) or not delimiter:
            raise self.refuse(path, f"cannot split at {delimiter!r}")
        return self._text(text, path).split(delimiter)

    def _find_in_map(self, argument: Any, path: str) -> Any:
        keys = [self._text(key, path) for key in self._parts(argument, "map, top key, second key", path)]
        found: Any = self._mappings
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise self.refuse(path, f"Mappings.{'.'.join(keys)} does not exist")
            found = found[key]
        return found

    def _if(self, argument: Any, path: str) -> Any:
        name, then, otherwise = self._parts(argument, "condition, then, else", path)
        return self.value(then if self.condition(name, path) else otherwise, path)

    def _equals(self, argument: Any, path: str) -> bool:
        one, other = (self._text(side, path) for side in self._parts(argument, "one, other", path))
        return one == other
