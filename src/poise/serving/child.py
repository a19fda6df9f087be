"""`python -m poise.serving.child PARENT COMMAND...`: become COMMAND, asked to end when the process PARENT does.

Whatever becomes of `poise serve`, no server may stay behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys


def main() -> None:
    parent, *command = sys.argv[1:]
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != int(parent):  # it has ended before the request was made
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
