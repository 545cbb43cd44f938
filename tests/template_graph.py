"""A CloudFormation template as a graph of its resources: what would be refused when a change set is made.

Only what the standard library has: `as_deployed` runs it in SAM's environment, on what SAM makes of the template.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

NO_VALUE = {"Ref": "AWS::NoValue"}
_NAMED = re.compile(r"\$\{([^!}][^}]*)\}")

Template = Mapping[str, Any]


class GraphError(Exception):
    """Resources that wait for each other, or name one that there is not."""


def under_every_condition(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """The template as it is under each combination of its conditions, and that in words."""
    names = sorted(template.get("Conditions", {}))
    for values in itertools.product((False, True), repeat=len(names)):
        truths = dict(zip(names, values, strict=True))
        words = ", ".join(name if is_so else f"not {name}" for name, is_so in truths.items())
        yield words, _under(template, truths)


def check(template: Template) -> None:
    """Raises `GraphError` for a cycle, or for a name that nothing has; `template` has no conditions."""
    resources, parameters = template["Resources"], template.get("Parameters", {})
    graph: dict[str, set[str]] = {}
    for name, resource in resources.items():
        graph[name] = set(_references(resource)) | _depends_on(resource)
    for place, named in [*graph.items(), ("Outputs", set(_references(template.get("Outputs", {}))))]:
        if unknown := sorted(named - resources.keys() - parameters.keys()):
            raise GraphError(f"{place} names {', '.join(unknown)}, which there is not")
    done: set[str] = set()
    for name in graph:
        _walk(name, graph, [], done)


def _walk(name: str, graph: Mapping[str, set[str]], path: list[str], done: set[str]) -> None:
    if name in path:
        raise GraphError(f"wait for each other: {' → '.join([*path[path.index(name) :], name])}")
    if name not in done:
        for next_one in sorted(graph.get(name, ())):
            _walk(next_one, graph, [*path, name], done)
        done.add(name)


def _under(template: Template, truths: Mapping[str, bool]) -> dict[str, Any]:
    """What is left of a template where the conditions are so."""
    left = {
        section: {
            name: _chosen(part, truths)
            for name, part in template.get(section, {}).items()
            if truths.get(part.get("Condition", ""), True)
        }
        for section in ("Resources", "Outputs")
    }
    return {**template, **left, "Conditions": {}}


def _chosen(value: Any, truths: Mapping[str, bool]) -> Any:
    """A value without `Fn::If`, and without what that leaves out."""
    if isinstance(value, dict):
        if set(value) == {"Fn::If"}:
            condition, yes, no = value["Fn::If"]
            return _chosen(yes if truths[condition] else no, truths)
        chosen = {name: _chosen(part, truths) for name, part in value.items()}
        return {name: part for name, part in chosen.items() if part != NO_VALUE}
    if isinstance(value, list):
        return [part for part in (_chosen(part, truths) for part in value) if part != NO_VALUE]
    return value


def _depends_on(resource: Mapping[str, Any]) -> set[str]:
    named = resource.get("DependsOn", [])
    return {named} if isinstance(named, str) else set(named)


def _references(value: Any) -> Iterator[str]:
    """The logical ids of resources and parameters that a value names; `AWS::…` is neither."""
    if isinstance(value, list):
        for part in value:
            yield from _references(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if len(value) == 1 and key in _INTRINSICS:
                yield from _INTRINSICS[key](part)
            else:
                yield from _references(part)


def _of_ref(name: str) -> Iterator[str]:
    if not name.startswith("AWS::"):
        yield name


def _of_get_att(part: str | list[str]) -> Iterator[str]:
    yield part.partition(".")[0] if isinstance(part, str) else part[0]


def _of_sub(part: str | list[Any]) -> Iterator[str]:
    text, values = (part, {}) if isinstance(part, str) else part
    for name in _NAMED.findall(text):
        if name not in values:
            yield from _of_ref(name.partition(".")[0])
    yield from _references(values)


_INTRINSICS: Mapping[str, Any] = {"Ref": _of_ref, "Fn::GetAtt": _of_get_att, "Fn::Sub": _of_sub}
