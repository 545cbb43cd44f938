"""The operations of a bundle prepared elsewhere: `python -m fanwise_cli.operations.checking FOLDER SIGNATURE`.

A process of its own, since the schema of a SavedModel is TensorFlow's. Its answer is a line that says what is
wrong, or none.
"""

import sys
from pathlib import Path

from fanwise.errors import FanwiseError
from fanwise_cli.operations.refusing import check_loadable
from fanwise_cli.operations.saved_model import reached


def main(arguments: list[str]) -> int:
    """Look at the SavedModel in a folder; 1 and a line where it is refused."""
    folder, signature = arguments
    try:
        check_loadable(reached(Path(folder), signature))
    except FanwiseError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
