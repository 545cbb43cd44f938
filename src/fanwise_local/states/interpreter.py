"""Runs a flow, state by state, to its output or its error. A parent's states and a child's alike.

In each state: arguments, the work, then Output and Assign, all over the variables as they were on entry. Where a
Task or a Map fails, Retry is asked before Catch (concepts-error-handling).
"""

import asyncio

from fanwise_local.states.errors import (
    DATA_LIMIT_EXCEEDED,
    NO_CHOICE_MATCHED,
    QUERY_EVALUATION_ERROR,
    RUNTIME,
    TIMEOUT,
    QueryEvaluationError,
    StatesError,
)
from fanwise_local.states.history import WHOLE
from fanwise_local.states.parsing import instant
from fanwise_local.states.payloads import JSON, checked, text
from fanwise_local.states.retries import RetryCount, catcher_of
from fanwise_local.states.run import Run, Visit
from fanwise_local.states.scope import Scope
from fanwise_local.states.syntax import (
    Catcher,
    ChoiceRule,
    ChoiceState,
    FailState,
    Flow,
    MapState,
    State,
    TaskState,
    WaitState,
)
from fanwise_local.states.templates import Computed, Template

_STEPS_WITHOUT_REST = 100  # states that only compute let others run after so many


async def run_flow(flow: Flow, flow_input: JSON, run: Run) -> JSON:
    """Runs to a state that ends, and returns its output. Raises `StatesError`.

    From StartAt; or, where `run` came into a state and not out of it, from that one (redrive-executions).
    """
    name: str | None = flow.start_at
    value = flow_input
    unended = run.visit
    steps = 0
    while name is not None:
        visit = run.enter(flow.states[name], value) if unended is None else run.reenter(unended)
        unended = None
        steps += 1
        if (
            steps % _STEPS_WITHOUT_REST == 0
        ):  # inside a visit: between two, a redrive would not know where to go
            await asyncio.sleep(0)
        if isinstance(visit.state, TaskState | MapState):
            name, value = await _attempts(visit, visit.state, run)
        else:
            name, value = await _once(visit, run)
    return value


async def _once(visit: Visit, run: Run) -> tuple[str | None, JSON]:
    """States that are neither retried nor caught: what fails in them ends the flow."""
    scope = run.scope(visit.state, visit.input, visit.entered_time, 0)
    try:
        match visit.state:
            case ChoiceState() as choice:
                return _choose(choice, visit, scope, run)
            case FailState() as fail:
                raise _failure(fail, scope)
            case WaitState() as wait:
                await run.clock.sleep(_wait_s(wait, scope, run))
        return visit.state.next, _leave(visit, visit.input, scope, run)
    except StatesError as raised:
        error = _reported(raised, visit, run)
        if error is raised:
            raise
        raise error from raised


async def _attempts(visit: Visit, state: TaskState | MapState, run: Run) -> tuple[str | None, JSON]:
    """States that are retried and caught."""
    retries = RetryCount(state.retriers)
    retry_count = 0
    while True:
        scope = run.scope(state, visit.input, visit.entered_time, retry_count)
        try:
            work = _call(state, scope, run) if isinstance(state, TaskState) else _map(visit, scope, run)
            result = await work
            return state.next, _leave(visit, result, scope.with_states(result=result), run)
        except StatesError as raised:
            error = _reported(raised, visit, run)
        delay_s = retries.next_delay_s(error.error, run.random)
        if delay_s is None:
            return _catch(state, visit, error, scope, run)
        retry_count += 1
        visit.unfinished = None  # a retry of a Map is a new Map Run (state-map-distributed)
        await run.clock.sleep(delay_s)


def _catch(
    state: TaskState | MapState, visit: Visit, error: StatesError, scope: Scope, run: Run
) -> tuple[str | None, JSON]:
    catcher = catcher_of(state.catchers, error.error)
    if catcher is None:
        raise error
    error_output = {"Error": error.error, "Cause": error.cause}
    try:
        caught = scope.with_states(errorOutput=error_output)
        return catcher.next, _leave(visit, error_output, caught, run, catcher)
    except StatesError as failed:  # not caught again: it ends the flow
        raise _reported(failed, visit, run) from failed


def _leave(
    visit: Visit, default: JSON, scope: Scope, run: Run, how: State | Catcher | ChoiceRule | None = None
) -> JSON:
    """Evaluates Output and Assign of the way out of a state, and takes it."""
    way: State | Catcher | ChoiceRule = how if how is not None else visit.state
    output = _output(way.output, default, scope, visit.state.name)
    assigned = run.evaluate_assign(way.assign, scope)
    run.exit(visit.state, output, assigned)
    return output


def _output(template: Template | None, default: JSON, scope: Scope, name: str) -> JSON:
    if template is None:
        return default
    return checked(template.evaluate(scope), f"The state '{name}' returned an output")


def _reported(error: StatesError, visit: Visit, run: Run) -> StatesError:
    """The error as Retry and Catch meet it: what the interpreter found itself says in which state."""
    own_words = isinstance(visit.state, FailState) and not isinstance(error, QueryEvaluationError)
    if own_words or error.error not in (QUERY_EVALUATION_ERROR, DATA_LIMIT_EXCEEDED, NO_CHOICE_MATCHED):
        return error
    entered = f" (entered at the event id #{visit.event_id})" if visit.event_id else ""
    cause = f"An error occurred while executing the state '{visit.state.name}'{entered}. {error.cause}"
    reported = StatesError(error.error, cause)
    if isinstance(error, QueryEvaluationError):
        run.note(
            "EvaluationFailed",
            state=visit.state.name,
            error=error.error,
            cause=cause,
            location=error.location[:256],
        )
    return reported


async def _call(state: TaskState, scope: Scope, run: Run) -> JSON:
    """One attempt of a Task."""
    timeout_s = None if state.timeout_s is None else state.timeout_s.evaluate(scope)
    arguments = checked(state.arguments.evaluate(scope), f"The state '{state.name}' was given arguments")
    if not isinstance(arguments, dict) and isinstance(state.arguments, Computed):
        raise state.arguments.expression.wrong_type("object", arguments)
    kind, action = state.resource.split(":")[-2:]
    if run.history is not None:
        limit = {} if timeout_s is None else {"timeoutInSeconds": int(timeout_s)}
        scheduled = {"region": run.region, "parameters": text(arguments), **limit}
        run.note("TaskScheduled", resourceType=kind, resource=action, **scheduled)
        run.note("TaskStarted", resourceType=kind, resource=action)
    try:
        result = await _within(timeout_s, state, arguments, run)
    except StatesError as error:
        event = "TaskTimedOut" if error.error == TIMEOUT else "TaskFailed"
        run.note(event, resourceType=kind, resource=action, error=error.error, cause=error.cause)
        raise
    if run.history is not None:
        run.note(
            "TaskSucceeded", resourceType=kind, resource=action, output=text(result), outputDetails=WHOLE
        )
    return result


async def _within(timeout_s: float | None, state: TaskState, arguments: JSON, run: Run) -> JSON:
    what = f"The task '{state.resource}' called from the state '{state.name}' returned a result"
    if timeout_s is None:
        return checked(await run.services.call(state.resource, arguments), what)
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return checked(await run.services.call(state.resource, arguments), what)
    except TimeoutError:
        if not limit.expired():
            raise
        raise StatesError(TIMEOUT, f"The state '{state.name}' ran longer than {timeout_s:.0f} s.") from None


async def _map(visit: Visit, scope: Scope, run: Run) -> JSON:
    if run.run_map is None or not isinstance(visit.state, MapState):
        raise StatesError(RUNTIME, "An Express execution cannot run a Distributed Map.")
    if visit.unfinished is not None:
        return await visit.unfinished.redrive()
    return await run.run_map(visit.state, visit, scope)


def _choose(state: ChoiceState, visit: Visit, scope: Scope, run: Run) -> tuple[str | None, JSON]:
    for rule in state.rules:
        value = rule.condition.evaluate(scope)
        if not isinstance(value, bool) and isinstance(rule.condition, Computed):
            raise rule.condition.expression.wrong_type("boolean", value)
        if value:
            return rule.next, _leave(visit, visit.input, scope, run, rule)
    if state.next is None:
        raise StatesError(NO_CHOICE_MATCHED, "No rule matched, and there is no Default.")
    return state.next, _leave(visit, visit.input, scope, run)


def _failure(state: FailState, scope: Scope) -> StatesError:
    error = state.error.evaluate(scope) if state.error is not None else ""
    return StatesError(error, state.cause.evaluate(scope) if state.cause is not None else "")


def _wait_s(state: WaitState, scope: Scope, run: Run) -> float:
    if state.seconds is not None:
        return state.seconds.evaluate(scope)
    if state.timestamp is None:
        raise TypeError(f"the state {state.name!r} has neither Seconds nor Timestamp")
    value = state.timestamp.evaluate(scope)
    moment = instant(value)
    if moment is None and isinstance(state.timestamp.template, Computed):
        raise state.timestamp.template.expression.wrong_type("RFC 3339 timestamp", value)
    return max(0.0, (moment or 0.0) - run.clock.now())
