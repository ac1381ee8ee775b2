"""A replay in a process of its own, as a scanner is one: `python -m UltrasoundMotionLib.live.replay_process`.

It ends when the other end of its standard input is closed, and so with the process that started it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from UltrasoundMotionLib.errors import ProcessError, UltrasoundMotionError
from UltrasoundMotionLib.images.sequence_files import read_sequence
from UltrasoundMotionLib.jobs.child_process import child_environment, find_python
from UltrasoundMotionLib.live.replay import ReplayScanner
from UltrasoundMotionLib.live.server import MessageServer

_MODULE = "UltrasoundMotionLib.live.replay_process"
_PORT, _ERROR = "port ", "error "
_END_S = 2.0


class ReplayProcess:
    """Sends a clip from a child process.

    Attributes:
        port: the port it sends on.
    """

    def __init__(self, clip: Path, port: int, rate_hz: float | None = None) -> None:
        """Starts the process and waits until its port is open.

        Args:
            port: 0 takes one that is free.

        Raises:
            ProcessError: the clip cannot be read, or the port not be opened; the message says why.
        """
        command = [find_python(), "-m", _MODULE, str(clip), "--port", str(port)]
        command += [] if rate_hz is None else ["--rate", repr(rate_hz)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(),
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line.startswith(_PORT):
            self.close()
            raise ProcessError(line.removeprefix(_ERROR) or f"{clip}: the replay ended as it started")
        self.port = int(line.removeprefix(_PORT))

    def close(self) -> None:
        """Ends the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> int:
    """Sends the clip until standard input is closed."""
    parser = argparse.ArgumentParser(prog=f"python -m {_MODULE}", description=__doc__)
    parser.add_argument("clip", metavar="CLIP", type=Path)
    parser.add_argument("--port", metavar="PORT", type=int, default=0)
    parser.add_argument("--rate", metavar="FPS", type=float)
    arguments = parser.parse_args()
    try:
        server = MessageServer("localhost", arguments.port)
        scanner = ReplayScanner(read_sequence(arguments.clip), server, arguments.rate)
    except UltrasoundMotionError as error:
        print(f"{_ERROR}{error}", flush=True)
        return 2
    print(f"{_PORT}{server.port}", flush=True)
    scanner.start()
    with suppress(KeyboardInterrupt):
        sys.stdin.read()
    scanner.stop()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
