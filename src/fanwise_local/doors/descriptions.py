"""Executions, Map Runs and events in the words of the Step Functions API; what there is not is left out.

Dates are seconds since the epoch, as AWS JSON has them.
"""

from fanwise_local.states.executions import Execution
from fanwise_local.states.history import HistoryEvent
from fanwise_local.states.map_run import MapRun
from fanwise_local.states.payloads import JSON, text

# What includeExecutionData leaves out of an event (API_GetExecutionHistory).
EXECUTION_DATA = frozenset({"input", "output"})


def listed_execution(execution: Execution, machine_arn: str) -> dict[str, JSON]:
    """An ExecutionListItem."""
    return _present(
        {
            "executionArn": execution.arn,
            "stateMachineArn": machine_arn,
            "name": execution.name,
            "status": execution.status,
            "startDate": execution.start_date,
            "stopDate": execution.stop_date,
            "redriveCount": execution.redrive_count,
            "redriveDate": execution.redrive_date,
        }
    )


def described_execution(execution: Execution, machine_arn: str, *, with_data: bool) -> dict[str, JSON]:
    """What DescribeExecution answers."""
    reason = execution.not_redrivable
    described: dict[str, JSON] = {
        **listed_execution(execution, machine_arn),
        "redriveStatus": "REDRIVABLE" if reason is None else "NOT_REDRIVABLE",
        "redriveStatusReason": reason,
    }
    if with_data:
        described |= {"input": text(execution.input), "inputDetails": {"included": True}}
        described |= {"error": execution.error, "cause": execution.cause}
        if execution.status == "SUCCEEDED":
            described |= {"output": text(execution.output), "outputDetails": {"included": True}}
    return _present(described)


def listed_map_run(map_run: MapRun) -> dict[str, JSON]:
    """A MapRunListItem."""
    return _present(
        {
            "executionArn": map_run.execution_arn,
            "mapRunArn": map_run.arn,
            "stateMachineArn": map_run.state_machine_arn,
            "startDate": map_run.start_date,
            "stopDate": map_run.stop_date,
        }
    )


def described_map_run(map_run: MapRun) -> dict[str, JSON]:
    """What DescribeMapRun answers."""
    return _present(
        {
            "mapRunArn": map_run.arn,
            "executionArn": map_run.execution_arn,
            "status": map_run.status,
            "startDate": map_run.start_date,
            "stopDate": map_run.stop_date,
            "maxConcurrency": map_run.max_concurrency,
            "toleratedFailurePercentage": map_run.tolerated_failure_percentage or 0.0,
            "toleratedFailureCount": map_run.tolerated_failure_count or 0,
            "itemCounts": map_run.item_counts,
            "executionCounts": map_run.execution_counts,
            "redriveCount": map_run.redrive_count,
            "redriveDate": map_run.redrive_date,
        }
    )


def described_event(event: HistoryEvent, *, with_data: bool) -> dict[str, JSON]:
    """A HistoryEvent."""
    described = event.described()
    if not with_data and event.details_name in described:
        details = described[event.details_name].items()
        described[event.details_name] = {name: part for name, part in details if name not in EXECUTION_DATA}
    return described


def _present(described: dict[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in described.items() if value is not None}
