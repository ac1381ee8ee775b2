"""Peak memory and processor time of a piece of work, measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from UltrasoundMotionLib.errors import InputError

_LINUX_STATUS = Path("/proc/self/status")


def own_peak_bytes() -> int:
    """Returns the resident high-water mark of this process in bytes.

    On Linux it is read from VmHWM, because getrusage's figure starts at what the parent process held.

    Raises:
        InputError: the system does not report it (Windows).
    """
    if _LINUX_STATUS.exists():
        for line in _LINUX_STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError as error:
        raise InputError(f"peak memory cannot be measured on {sys.platform}") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_bytes_with_programs() -> int:
    """Returns the most memory that this process, or one of the programs that it ran to their end, held.

    Raises:
        InputError: see `own_peak_bytes`.
    """
    own = own_peak_bytes()
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, peak if sys.platform == "darwin" else peak * 1024)


def processor_seconds_with_programs() -> float:
    """Returns the processor seconds of this process and of the programs that it ran to their end."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def run_in_child(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> dict:
    """Runs `python -m module arguments...` and returns the JSON object on the last line that it prints.

    Args:
        environment: added to the child's: what must be set before a library is loaded, as its number of threads.
        on_line: called with each line that the child writes to stderr, as it comes; raising from it ends the child.

    Raises:
        InputError: the child failed; the message ends with the last line it wrote.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, *arguments]
    complaint = "no message"
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8") as output:
        child = subprocess.Popen(
            command, stdout=output, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )
        try:
            assert child.stderr is not None
            for line in child.stderr:
                complaint = line.strip() or complaint
                if on_line is not None:
                    on_line(line.rstrip("\n"))
            code = child.wait()
        finally:
            child.kill()
            if child.stderr is not None:
                child.stderr.close()
            child.wait()
        output.seek(0)
        lines = output.read().strip().splitlines()
    if code != 0 or not lines:
        raise InputError(f"{module} {' '.join(arguments)} failed with exit code {code}: {complaint}")
    return json.loads(lines[-1])
