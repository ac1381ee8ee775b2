"""What goes wrong in or around the child process of jobs: each gives one clear line, and the next job runs."""

import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from misbehaving_job import misbehaving_request
from UltrasoundMotionLib.errors import InputError, OutputError, ProcessError
from UltrasoundMotionLib.jobs import JobCancelled, JobFailed, JobFinished, JobProcess, JobProgress, JobRequest, run_job
from UltrasoundMotionLib.jobs.child import run_on_device
from UltrasoundMotionLib.jobs.child_process import find_python
from UltrasoundMotionLib.process_state import is_alive
from waiting import wait_until

HERE = Path(__file__).parent


@pytest.fixture
def process(tmp_path, monkeypatch):
    """A child that finds the misbehaving capability, which needs no torch."""
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    with JobProcess(folder=tmp_path, capabilities=["misbehaving_job"]) as process:
        yield process
    assert list(tmp_path.iterdir()) == []


def end_of(process, job):
    wait_until(lambda: job.ended)
    return process.poll()[-1]


def begun(process, job):
    """The process that a hanging job started, once it hangs."""
    events = []
    wait_until(lambda: events.extend(process.poll()) or any(isinstance(event, JobProgress) for event in events))
    return int(events[-1].message)


def chat(process):
    return run_job(misbehaving_request("chatter"), process)


def test_a_job_that_does_not_listen_is_killed_with_all_it_started_and_keeps_its_part(tmp_path, monkeypatch):
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    with JobProcess(str(launcher), capabilities=["misbehaving_job"]) as process:
        job = process.submit(misbehaving_request("hang"))
        pids = (begun(process, job), *process.pids)
        assert len(set(pids)) == 3 and all(is_alive(pid) for pid in pids)
        process.cancel(job)
        assert not job.ended  # the call returned while the job, which would never end by itself, went on
        end = end_of(process, job)
        assert isinstance(end, JobCancelled) and end.result == job.partial() == 7.0
        wait_until(lambda: not any(is_alive(pid) for pid in pids))
        assert chat(process) == ""
        pids = process.pids
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_the_first_job_of_a_cold_child_imports_alone(process):
    """Two threads that import the same packages at once can meet half-finished modules (KeyError: 'scipy')."""
    assert run_job(misbehaving_request("count_importing_threads"), process) == 0


def test_a_job_that_takes_too_long_is_ended_and_the_next_one_runs(process):
    job, after = (
        process.submit(misbehaving_request("hang"), timeout_s=0.3),
        process.submit(misbehaving_request("chatter")),
    )
    wait_until(lambda: after.ended)
    ends = [event for event in process.poll() if isinstance(event, (JobFailed, JobFinished))]
    assert (ends[0].kind, ends[0].job) == ("timeout", job) and "after 0.3 s" in ends[0].message
    assert (ends[1].result, ends[1].job) == ("", after)


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        ("leave", "crash", "exit code 3; its last output: these are my last words"),
        ("segfault", "crash", "(SIGSEGV); its last output: Fatal Python error: Segmentation fault"),
        ("be_killed", "memory", "killed by the system, most likely because the memory ran out"),
        ("exhaust_memory", "memory", "the memory ran out: Unable to allocate 1.00 TiB"),
        ("raise_error", "unexpected", "unexpected ValueError: two lines"),
    ],
)
def test_a_crash_is_told_in_one_line_with_the_childs_words(process, behaviour, kind, words):
    job = process.submit(misbehaving_request(behaviour))
    end = end_of(process, job)
    assert isinstance(end, JobFailed) and end.kind == kind
    assert words in end.message and "\n" not in end.message
    assert {"leave": "last words", "segfault": "Segmentation fault", "raise_error": "Traceback"}.get(
        behaviour, ""
    ) in end.child_output
    with pytest.raises(ProcessError, match="unexpected ValueError: two lines"):
        run_job(misbehaving_request("raise_error"), process)


def test_prints_and_garbage_disturb_nothing(process, caplog):
    assert chat(process) == ""
    pids = process.pids
    caplog.set_level(logging.WARNING, "UltrasoundMotionLib.jobs")
    child = process._supervisor.child
    lines = (
        b"\xff\x00 garbage",
        b"[1, 2]",
        b'{"do": "dance", "job": 9}',
        b'{"do": "run", "job": 9, "capability": 3}',
        b"[" * 100_000,
    )
    child._process.stdin.write(b"\n".join(lines) + b"\n")
    child._process.stdin.flush()
    wait_until(lambda: len(caplog.messages) == 5)
    assert all("\n" not in message and len(message) < 300 for message in caplog.messages)
    assert "is no message" in caplog.messages[0] and "dance" in caplog.messages[2]
    assert chat(process) == "" and process.pids == pids
    with pytest.raises(InputError, match="there is no capability 'no_such_module'"):
        run_job(type(misbehaving_request("x"))("no_such_module", {}, {}), process)


def test_garbage_from_the_child_disturbs_nothing(tmp_path, monkeypatch, caplog):
    talker = tmp_path / "python-that-talks"
    talker.write_text(f'#!/bin/sh\necho "Welcome to the launcher"\nprintf "\\377\\n"\nexec "{sys.executable}" "$@"\n')
    talker.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    with JobProcess(str(talker), capabilities=["misbehaving_job"]) as process:
        assert chat(process) == ""
    assert sum("something that is no message" in message for message in caplog.messages) == 2


def test_a_python_that_cannot_run_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="nowhere: cannot be run"):
        run_job(misbehaving_request("chatter"), JobProcess(str(tmp_path / "nowhere"), capabilities=["misbehaving_job"]))
    with pytest.raises(ProcessError, match="exit code 1"):
        run_job(misbehaving_request("chatter"), JobProcess("/bin/false", capabilities=["misbehaving_job"]))


@contextmanager
def mounted_disk(folder):
    """A real file system of 200 kB."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def limited_files(folder):
    """Files of this process, and of those it starts, end at 200 kB, which any user may ask for."""
    folder.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("small_disk", "words"), [(mounted_disk, "No space left on device"), (limited_files, "File too large")]
)
def test_a_full_disk_is_told_with_the_folder(tmp_path, monkeypatch, small_disk, words):
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    folder = tmp_path / "small"
    with small_disk(folder), JobProcess(folder=folder, capabilities=["misbehaving_job"]) as process:
        for request in (misbehaving_request("chatter", values=np.zeros(100_000)), misbehaving_request("write_much")):
            with pytest.raises(OutputError, match=rf"{folder}.*cannot be written: {words}"):
                run_job(request, process)
            assert [list(root.iterdir()) for root in folder.iterdir()] == [[]]
        assert chat(process) == ""


def test_in_slicer_its_own_python_is_found(tmp_path, monkeypatch):
    application, python = tmp_path / "Slicer", tmp_path / "home" / "bin" / "PythonSlicer"
    monkeypatch.setattr(sys, "executable", str(application))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no Python was found beside .*Slicer to run jobs with"):
        find_python()
    python.parent.mkdir(parents=True)
    python.touch(mode=0o755)
    monkeypatch.setitem(sys.modules, "slicer", SimpleNamespace(app=SimpleNamespace(slicerHome=str(tmp_path / "home"))))
    assert find_python() == str(python)
    beside = tmp_path / "PythonSlicer"
    beside.touch(mode=0o755)
    assert find_python() == str(beside)


def test_a_folder_that_cannot_be_used_is_an_output_error(tmp_path):
    with (
        JobProcess(folder=tmp_path / "missing", capabilities=["misbehaving_job"]) as process,
        pytest.raises(OutputError, match="missing: the job's data cannot be written"),
    ):
        chat(process)


PARENT = """
import sys, time
from misbehaving_job import misbehaving_request
from UltrasoundMotionLib.jobs import JobProcess
process = JobProcess(folder=sys.argv[1], capabilities=["misbehaving_job"])
job = process.submit(misbehaving_request("hang"))
while len(events := process.poll()) < 1 or not hasattr(events[-1], "message"):
    time.sleep(0.01)
print(events[-1].message, *process.pids, flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(600)", "pass"], ids=["killed", "ended without close"])
def test_the_child_ends_with_the_application_and_removes_the_data(tmp_path, then):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}
    argv = [sys.executable, "-c", PARENT.format(then=then), str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        if then != "pass":
            assert all(is_alive(pid) for pid in pids) and any(tmp_path.iterdir())
            parent.kill()
        parent.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))
    wait_until(lambda: not any(tmp_path.iterdir()))


def test_a_folder_that_vanished_is_made_anew_and_the_next_job_runs(process, tmp_path, caplog):
    chat(process)
    (folder,) = tmp_path.iterdir()
    shutil.rmtree(folder)
    chat(process)
    assert f"{folder} of the jobs was removed" in caplog.text


def test_folders_of_dead_processes_are_swept_and_those_of_live_ones_kept(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    from UltrasoundMotionLib.jobs.job_folder import make_root

    mine = make_root(tmp_path)
    stale = tmp_path / mine.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    stale.mkdir()
    (stale / "values.npy").write_bytes(b"left behind")
    stranger = tmp_path / "ultrasound-motion-notes"
    stranger.mkdir()
    another = make_root(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, stranger, another])


def test_a_gpu_whose_memory_is_full_hands_over_to_the_cpu():
    """Without a GPU: the capability says what torch says."""
    import torch

    class Capability:
        @staticmethod
        def choose_device(options):
            return "cuda"

        @staticmethod
        def run(job, device):
            if device == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return {"device": device}

    class Job:
        options, notes, devices = {}, [], []

        def started(self, device):
            self.devices.append(device)

    job = Job()
    assert run_on_device(Capability, job) == {"device": "cpu"}
    assert job.devices == ["cuda", "cpu"] and job.notes == ["cuda ran out of memory; run again on the CPU"]


def test_a_closed_process_says_so(process):
    job = process.submit(misbehaving_request("hang"))
    begun(process, job)
    process.close()
    assert isinstance(process.poll()[-1], JobCancelled) and job.partial() == 7.0
    with pytest.raises(InputError, match="was closed"):
        process.submit(misbehaving_request("chatter"))


def test_ctrl_c_cancels(process):
    def interrupt(done, total, message):
        signal.raise_signal(signal.SIGINT)

    # a test run in the background is started with SIGINT ignored, so the handler is set as in a shell's foreground
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_job(misbehaving_request("hang"), process, progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_missing_option_is_named(process):
    with pytest.raises(InputError, match="a job needs the option behaviour, which is missing in its options"):
        run_job(JobRequest(capability="misbehaving_job", options={"device": "cpu"}, arrays={}), process)


def test_a_module_that_is_no_capability_is_not_imported(process):
    with pytest.raises(InputError, match="there is no capability 'antigravity'"):
        run_job(JobRequest(capability="antigravity", options={"device": "cpu"}, arrays={}), process)
