"""The ARNs that follow from a state machine's own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MachineArn:
    """`arn:aws:states:REGION:ACCOUNT:stateMachine:NAME`, in its parts."""

    text: str
    prefix: str  # arn:aws:states:REGION:ACCOUNT
    role: str  # of an execution role that has the machine's name: nothing is assumed locally
    name: str

    def execution(self, name: str) -> str:
        """A Standard execution."""
        return f"{self.prefix}:execution:{self.name}:{name}"

    def map_run(self, label: str, unique: str) -> str:
        """A Map Run (API_DescribeMapRun)."""
        return f"{self.prefix}:mapRun:{self.name}/{label}:{unique}"

    def child(self, label: str, name: str, unique: str) -> str:
        """An Express child of a Map Run."""
        return f"{self.prefix}:express:{self.name}/{label}:{name}:{unique}"

    def processor(self, label: str) -> str:
        """The state machine that a Map Run's children have."""
        return f"{self.text}/{label}"


def parse_machine_arn(text: str) -> MachineArn:
    """Raises `ValueError` for what is no state machine's ARN."""
    parts = text.split(":")
    if (
        len(parts) != 7
        or parts[0] != "arn"
        or parts[2] != "states"
        or parts[5] != "stateMachine"
        or not parts[6]
    ):
        raise ValueError(
            f"{text!r} is no ARN of a state machine: arn:aws:states:REGION:ACCOUNT:stateMachine:NAME"
        )
    role = f"arn:{parts[1]}:iam::{parts[4]}:role/{parts[6]}"
    return MachineArn(text, ":".join(parts[:5]), role, parts[6])
