"""What makes a bundle, as the process that `bundles` starts: it ends with the command that waits for it.

It is at the head of a session of its own, so that it can be ended with all that it has started. So it gets no
Ctrl-C, and looks itself whether the command is still there.
"""

import os
import signal
import sys
import threading
import time

from fanwise_cli.prepare_bundle import main

_LOOKS_EVERY_S = 1.0


def end_with(parent: int) -> None:
    """End this process and those that it has started when its parent is gone."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKS_EVERY_S)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=look, name="parent", daemon=True).start()


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
