"""python -I ops/retrain/watchdog.py FD COMMAND ...: run a command that must not outlive its caller.

FD is the reading end of a pipe whose other end the caller holds. When the caller is gone, however it went,
the pipe is closed and the command is killed with all its descendants of the same session. (`dvc` that is
killed alone leaves its stage running and writing.) Exits as the command does; 128 + n where signal n ended
it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def kill(group: int) -> None:
    """SIGKILL to whoever is left of a process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def main(pipe: int, command: list[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def watch() -> None:
        os.read(pipe, 1)  # returns only when the other end is closed
        kill(process.pid)

    threading.Thread(target=watch, daemon=True).start()
    code = process.wait()
    kill(process.pid)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
