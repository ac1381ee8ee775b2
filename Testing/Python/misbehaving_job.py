"""A capability whose jobs do on purpose what must not harm the application; `test_jobs*.py` run it in the child
process.
"""

import os
import subprocess
import sys
import threading
import time

import numpy as np

from UltrasoundMotionLib.jobs import JobRequest


def misbehaving_request(behaviour, **arrays):
    """Asks for one of the functions below, by name."""
    return JobRequest(capability=__name__, options={"behaviour": behaviour, "device": "cpu"}, arrays=arrays)


def choose_device(options):
    return options["device"]


def run(job, device):
    return globals()[job.options["behaviour"]](job)


def result(request, folder, found):
    return found["value"]


def partial(request, folder):
    return float(folder.open("values")[0]) if folder.has("values") else None


def chatter(job):
    """Prints where libraries print, and reads where nobody should."""
    print("printed by Python")
    os.write(1, b'{"event":"result","job":1,"found":{"value":"forged"},"notes":[]}\n')
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    return {"value": sys.stdin.read()}


def count_importing_threads(job):
    """Counts the threads beside this one that are in the midst of an import."""
    stacks = sys._current_frames()
    del stacks[threading.get_ident()]
    return {"value": sum(_is_importing(frame) for frame in stacks.values())}


def _is_importing(frame):
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def hang(job):
    """Never reports, so that asking is not enough; what it has found and the process that it started stay behind."""
    job.folder.create("values", (1,), np.float64, 7.0)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    job.progress(0, 1, str(sleeper.pid))
    time.sleep(600)


def leave(job):
    print("these are my last words", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)


def segfault(job):
    os.kill(os.getpid(), 11)
    time.sleep(600)


def exhaust_memory(job):
    raise MemoryError("Unable to allocate 1.00 TiB")


def be_killed(job):
    os.kill(os.getpid(), 9)
    time.sleep(600)


def raise_error(job):
    raise ValueError("two\nlines")


def write_much(job):
    job.folder.write("values", np.zeros(100_000))
