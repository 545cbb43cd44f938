"""What of the template keeps data, as a template of literals: buckets, queues, topics; and what the stack tells.

CloudFormation in memory (`doors.in_memory`) makes it, so that DescribeStacks tells what a deployed stack would.
"""

from typing import Any

from fanwise_local.template_resources import BUCKET, NAMES, QUEUE, TOPIC, Resources

# Beside the name, what changes how they behave here.
_PROPERTIES: dict[str, tuple[str, ...]] = {
    BUCKET: ("VersioningConfiguration", "NotificationConfiguration"),
    QUEUE: ("MessageRetentionPeriod", "VisibilityTimeout"),
    TOPIC: (),
}


def data_template(resources: Resources) -> dict[str, Any]:
    """The template; its description, parameters and outputs are those of the whole stack."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": resources.description(),
        "Parameters": {
            name: {"Type": "String", "Default": value} for name, value in resources.parameters().items()
        },
        "Resources": {
            logical_id: {
                "Type": kind,
                "DeletionPolicy": "Retain" if resources.is_kept(logical_id) else "Delete",
                "Properties": _properties(resources, kind, logical_id),
            }
            for kind in _PROPERTIES
            for logical_id in resources.of_type(kind)
        },
        "Outputs": {name: {"Value": value} for name, value in resources.outputs().items()},
    }


def _properties(resources: Resources, kind: str, logical_id: str) -> dict[str, Any]:
    values = {key: resources.value(logical_id, key) for key in _PROPERTIES[kind]}
    return {NAMES[kind]: resources.name(logical_id)} | {
        key: value for key, value in values.items() if value is not None
    }
