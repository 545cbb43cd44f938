"""Parses a Map state: distributed, with Express children (state-map-distributed)."""

from collections.abc import Callable
from typing import Literal as OneOf
from typing import cast

from fanwise_local.states.fields import DefinitionError, Fields, TextField
from fanwise_local.states.syntax import (
    Assignments,
    Catcher,
    Flow,
    ItemReader,
    MapState,
    ResultWriter,
    Retrier,
)

MAX_LABEL_LENGTH = 40  # state-map-distributed
MAX_ITEMS = 100_000_000  # MaxItems (input-output-itemreader)
_NOT_IN_LABEL = frozenset(" \t\n\r?*<>{}[]:;,\\|^~$#%&`\"/'")


def parse_map(
    name: str,
    fields: Fields,
    *,
    parse_flow: Callable[[Fields], Flow],
    retriers: tuple[Retrier, ...],
    catchers: tuple[Catcher, ...],
    assign: Assignments,
    following: str | None,
) -> MapState:
    """Takes the fields that only a Map has, and Output."""
    if fields.has("ItemReader") and fields.has("Items"):
        raise fields.error("Items", "there is an ItemReader too; a Map reads from one of the two")
    return MapState(
        name=name,
        type="Map",
        flow=_parse_processor(fields, parse_flow),
        label=_parse_label(name, fields),
        reader=_parse_reader(fields),
        items=fields.template("Items"),
        item_selector=fields.template("ItemSelector"),
        max_concurrency=fields.number_field("MaxConcurrency", 0, 2**31 - 1),
        tolerated_failure_percentage=fields.number_field("ToleratedFailurePercentage", 0, 100, whole=False),
        tolerated_failure_count=fields.number_field("ToleratedFailureCount", 0, 2**31 - 1),
        writer=_parse_writer(fields),
        retriers=retriers,
        catchers=catchers,
        output=fields.template("Output"),
        assign=assign,
        next=following,
    )


def _parse_processor(fields: Fields, parse_flow: Callable[[Fields], Flow]) -> Flow:
    processor = Fields(fields.raw("ItemProcessor"), fields.at("ItemProcessor"))
    processor.skip("Comment")
    value = processor.raw("ProcessorConfig") if processor.has("ProcessorConfig") else {}
    config = Fields(value, processor.at("ProcessorConfig"))
    if not config.has("Mode"):
        raise config.error("Mode", 'missing, which means INLINE; supported: "DISTRIBUTED"')
    config.choice("Mode", ("DISTRIBUTED",))
    config.choice("ExecutionType", ("EXPRESS",))
    config.finish()
    flow = parse_flow(processor)
    processor.finish()
    for state in flow.states.values():
        if isinstance(state, MapState):
            raise DefinitionError(
                f"{processor.at('States')}.{state.name}", "an Express child cannot run a Map Run"
            )
    return flow


def _parse_label(name: str, fields: Fields) -> str:
    if not fields.has("Label"):
        # AWS makes one up as well; it serves to tell Map Runs of one machine apart.
        return "".join(letter for letter in name if not _unfit(letter))[:MAX_LABEL_LENGTH] or "Map"
    label = fields.text("Label")
    if len(label) > MAX_LABEL_LENGTH or any(_unfit(letter) for letter in label):
        problem = (
            f"is {label!r}; at most {MAX_LABEL_LENGTH} characters, without spaces, wildcards or brackets"
        )
        raise fields.error("Label", problem)
    return label


def _unfit(letter: str) -> bool:
    return letter in _NOT_IN_LABEL or letter.isspace() or ord(letter) < 32 or 127 <= ord(letter) < 160


def _parse_reader(fields: Fields) -> ItemReader | None:
    if not fields.has("ItemReader"):
        return None
    reader = Fields(fields.raw("ItemReader"), fields.at("ItemReader"))
    reader.choice("Resource", ("arn:aws:states:::s3:getObject",))
    config = Fields(reader.raw("ReaderConfig"), reader.at("ReaderConfig"))
    config.choice("InputType", ("JSONL",))
    max_items = config.number_field("MaxItems", 1, MAX_ITEMS)
    config.finish()
    arguments = Fields(reader.raw("Arguments"), reader.at("Arguments"))
    parsed = ItemReader(_text(arguments, "Bucket"), _text(arguments, "Key"), max_items)
    if arguments.has("VersionId"):
        raise arguments.error("VersionId", "not supported here: the local objects have no versions")
    arguments.finish()
    reader.finish()
    return parsed


def _parse_writer(fields: Fields) -> ResultWriter | None:
    if not fields.has("ResultWriter"):
        return None
    writer = Fields(fields.raw("ResultWriter"), fields.at("ResultWriter"))
    has_config, exports = writer.has("WriterConfig"), writer.has("Resource") or writer.has("Arguments")
    if not has_config and not exports:
        raise DefinitionError(writer.path, "has neither WriterConfig, nor Resource and Arguments")
    transformation, json_lines = _parse_writer_config(writer) if has_config else ("NONE", False)
    bucket = prefix = None
    if exports:
        writer.choice("Resource", ("arn:aws:states:::s3:putObject",))
        arguments = Fields(writer.raw("Arguments"), writer.at("Arguments"))
        bucket, prefix = _text(arguments, "Bucket"), arguments.text_field("Prefix")
        arguments.finish()
    elif json_lines:
        raise writer.error("WriterConfig.OutputType", "is JSONL; without Resource, supported: JSON")
    writer.finish()
    return ResultWriter(bucket, prefix, cast(OneOf["NONE", "COMPACT", "FLATTEN"], transformation), json_lines)


def _parse_writer_config(writer: Fields) -> tuple[str, bool]:
    config = Fields(writer.raw("WriterConfig"), writer.at("WriterConfig"))
    transformation = config.choice("Transformation", ("NONE", "COMPACT", "FLATTEN"), "NONE")
    json_lines = config.choice("OutputType", ("JSON", "JSONL"), "JSON") == "JSONL"
    config.finish()
    return transformation, json_lines


def _text(fields: Fields, name: str) -> TextField:
    field = fields.text_field(name)
    if field is None:
        raise fields.error(name, "missing; it is required")
    return field
