"""From the text of a definition to a checked `StateMachineDefinition`: where everything unknown is refused."""

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from fanwise_local.states.fields import DefinitionError, Fields
from fanwise_local.states.parsing import MAX_SECONDS, parse_flow
from fanwise_local.states.payloads import JSON
from fanwise_local.states.syntax import Assignments, ChoiceState, Flow, MapState, StateMachineDefinition

__all__ = ["DefinitionError", "StateMachineDefinition", "parse_definition"]

MAX_DEFINITION_BYTES = 1_048_576  # service-quotas
_SUBSTITUTION = re.compile(r"\$\{([^{}'\"\s]+)\}")
_NONE: Mapping[str, str] = MappingProxyType({})


def parse_definition(text: str, substitutions: Mapping[str, str] = _NONE) -> StateMachineDefinition:
    """Parses and checks a definition: strict JSON, JSONata states.

    `substitutions` stand for `${Name}` in any string, as DefinitionSubstitutions of the template do. Raises
    `DefinitionError` for what is no definition, or has a field, state or resource that this interpreter lacks.
    """
    if len(text.encode()) > MAX_DEFINITION_BYTES:
        raise DefinitionError("", f"the definition has over {MAX_DEFINITION_BYTES} bytes (service-quotas)")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DefinitionError):
            raise
        raise DefinitionError("", f"the definition is not JSON: {error}") from error
    value = _substituted(value, substitutions, "")
    fields = Fields(value, "")
    comment = fields.raw("Comment") if fields.has("Comment") else ""
    language = fields.choice("QueryLanguage", ("JSONata", "JSONPath"), "JSONPath")
    fields.choice("Version", ("1.0",), "1.0")
    timeout_s = fields.whole("TimeoutSeconds", 1, MAX_SECONDS)
    flow = parse_flow(fields, language)
    fields.finish()
    _check_names(flow, "States", {})
    _check_labels(flow)
    _check_scopes(flow)
    limit_s = None if timeout_s is None else float(timeout_s)
    return StateMachineDefinition(flow, limit_s, str(comment), json.dumps(value, indent=2))


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    value: dict[str, JSON] = {}
    for name, part in pairs:
        if name in value:
            raise DefinitionError(name, "the field stands twice in one object")
        value[name] = part
    return value


def _refuse_constant(text: str) -> float:
    raise DefinitionError("", f"the definition is not JSON: {text}")


def _substituted(value: JSON, substitutions: Mapping[str, str], path: str) -> JSON:
    if isinstance(value, str):
        return _SUBSTITUTION.sub(lambda match: _substitution(match[1], substitutions, path), value)
    if isinstance(value, dict):
        parts = value.items()
        return {name: _substituted(part, substitutions, f"{path}.{name}".lstrip(".")) for name, part in parts}
    if isinstance(value, list):
        return [_substituted(part, substitutions, f"{path}[{index}]") for index, part in enumerate(value)]
    return value


def _substitution(name: str, substitutions: Mapping[str, str], path: str) -> str:
    if name not in substitutions:
        known = ", ".join(sorted(substitutions)) or "none"
        raise DefinitionError(path, f"${{{name}}} has no value; DefinitionSubstitutions defines: {known}")
    return substitutions[name]


def _flows(flow: Flow, path: str = "States") -> Iterator[tuple[str, Flow]]:
    yield path, flow
    for state in flow.states.values():
        if isinstance(state, MapState):
            yield from _flows(state.flow, f"{path}.{state.name}.ItemProcessor.States")


def _check_names(flow: Flow, path: str, seen: dict[str, str]) -> None:
    """A state's name is unique in the whole machine (states-language.net/spec.html, States)."""
    for flow_path, inner in _flows(flow, path):
        for name in inner.states:
            if name in seen:
                raise DefinitionError(
                    f"{flow_path}.{name}", f"another state has this name: {seen[name]}.{name}"
                )
            seen[name] = flow_path


def _check_labels(flow: Flow) -> None:
    """A Label is unique in its machine (state-map-distributed)."""
    seen: set[str] = set()
    for path, inner in _flows(flow):
        for state in inner.states.values():
            if isinstance(state, MapState):
                if state.label in seen:
                    raise DefinitionError(f"{path}.{state.name}.Label", f"another Map has {state.label!r}")
                seen.add(state.label)


def _check_scopes(flow: Flow) -> None:
    """A variable of an inner scope may not carry the name of an outer one (workflow-variables)."""
    outer = _assigned(flow)
    for path, inner in _flows(flow):
        clash = sorted(_assigned(inner) & outer) if inner is not flow else []
        if clash:
            raise DefinitionError(
                path, f"assigns ${clash[0]}, which the outer scope assigns; give it another name"
            )


def _assigned(flow: Flow) -> set[str]:
    found: set[str] = set()
    for state in flow.states.values():
        found |= _names(state.assign)
        rules = state.rules if isinstance(state, ChoiceState) else getattr(state, "catchers", ())
        for rule in rules:
            found |= _names(rule.assign)
    return found


def _names(assign: Assignments) -> set[str]:
    return {name for name, _ in assign}
