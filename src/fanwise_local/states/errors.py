"""The errors of the interpreter.

    DefinitionError          (definition.py) the text is no definition this interpreter runs
    StatesError              an error as the States Language names it: retried, caught, or the execution's end
    └── QueryEvaluationError an expression failed, gave nothing, or gave the wrong type
    CallRefused              a call of the API refused: the class has the API's name for it
    ├── StartError           by StartExecution
    │   ├── ExecutionAlreadyExists
    │   ├── InvalidName
    │   └── InvalidExecutionInput
    ├── ExecutionDoesNotExist
    └── ExecutionNotRedrivable

Names of errors: states-language.net/spec.html, appendix A, and concepts-error-handling.
"""

ALL = "States.ALL"
TASK_FAILED = "States.TaskFailed"
TIMEOUT = "States.Timeout"
RUNTIME = "States.Runtime"
DATA_LIMIT_EXCEEDED = "States.DataLimitExceeded"
QUERY_EVALUATION_ERROR = "States.QueryEvaluationError"
NO_CHOICE_MATCHED = "States.NoChoiceMatched"
EXCEED_TOLERATED_FAILURE_THRESHOLD = "States.ExceedToleratedFailureThreshold"
ITEM_READER_FAILED = "States.ItemReaderFailed"
RESULT_WRITER_FAILED = "States.ResultWriterFailed"


class StatesError(Exception):
    """An error name and its cause, as a Task's service, a state or an execution reports it."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(f"{error}: {cause}" if cause else error)
        self.error = error
        self.cause = cause


class QueryEvaluationError(StatesError):
    """An expression failed, gave nothing, or gave the wrong type.

    `location` is the field, as in `Arguments/Payload/job_id` (API_EvaluationFailedEventDetails).
    """

    def __init__(self, cause: str, location: str) -> None:
        super().__init__(QUERY_EVALUATION_ERROR, cause)
        self.location = location


class CallRefused(ValueError):
    """A call of the API refused; never raised itself."""


class StartError(CallRefused):
    """StartExecution refused; never raised itself."""


class ExecutionAlreadyExists(StartError):
    """An execution of that name is closed, or runs with another input (API_StartExecution)."""


class InvalidName(StartError):
    """The name is empty, over 80 characters, or has a character that is not allowed (API_StartExecution)."""


class InvalidExecutionInput(StartError):
    """The input is over 262,144 bytes, or not JSON (API_StartExecution)."""


class ExecutionDoesNotExist(CallRefused):
    """No execution has that ARN."""


class ExecutionNotRedrivable(CallRefused):
    """The execution runs, has SUCCEEDED, or ended too long ago (API_RedriveExecution)."""
