"""The device and the threads that networks and fields are computed on: one rule for all."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from UltrasoundMotionLib.errors import InputError

ALL_DEVICES = ("cuda", "mps", "cpu")
"""Kinds of device, the one preferred by "auto" first."""

_IDLE_SAMPLE_S = 0.1

WITHOUT_MPS = ("cuda", "cpu")
"""For what samples volumes or computes in float64: Apple's Metal has no `grid_sample` in 3D and no float64."""


def choose_device(device: str = "auto", *, supported: Sequence[str] = ALL_DEVICES, name: str = "") -> str:
    """Returns the PyTorch device to compute on.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps". "auto" takes the first kind of `ALL_DEVICES` that this machine
            has and that is supported.
        supported: kinds of device that the tracker or method can use; none: it does without PyTorch, on the CPU.
        name: of the tracker or method, for messages.

    Raises:
        InputError: the device does not exist here, or cannot be used.
    """
    if not supported:
        if device.partition(":")[0] not in ("auto", *ALL_DEVICES):
            raise InputError(
                f"device {device} is not available; choose auto or one of {', '.join(reversed(ALL_DEVICES))}"
            )
        return "cpu"
    present = present_devices()
    usable = [kind for kind in present if kind in supported]
    if device == "auto":
        return usable[0] if usable else "cpu"
    kind, _, number = device.partition(":")
    if kind not in present or (number and not _exists(kind, number)):
        raise InputError(
            f"device {device} is not available on this machine; choose auto or one of {', '.join(reversed(present))}"
        )
    if kind not in supported:
        raise InputError(f"device {device}: {name or 'this'} runs on {', '.join(reversed(list(supported)))} only")
    return device


def device_note(device: str, *, supported: Sequence[str], name: str) -> str:
    """A line for users where "auto" passes over a device that this machine has, or a device has no use; empty
    otherwise.
    """
    if not supported:
        return "" if device in ("auto", "cpu") else f"{name} runs on the CPU alone: the device {device} is not used"
    present = present_devices()
    if device != "auto" or present[0] in supported:
        return ""
    return f"{name} runs on {choose_device(device, supported=supported)}: it needs operations that {present[0]} lacks"


def present_devices() -> tuple[str, ...]:
    """Kinds of device that this machine has, the one preferred by "auto" first; the CPU is always there."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return tuple(kind for kind in ALL_DEVICES if present[kind])


def has_bfloat16(kind: str) -> bool:
    """Returns True where a kind of device ("cpu", "cuda", "mps") computes in bfloat16 without emulating it.

    PyTorch's own flag is True for every processor with AVX-512, on which oneDNN emulates bfloat16; so the instructions
    themselves (AVX512-BF16, AMX) are asked for. An unknown processor counts as one without.
    """
    import torch

    if kind == "cpu":
        mkldnn = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
        if mkldnn is None or not mkldnn():
            return False
        instructions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return platform.machine().lower() in ("aarch64", "arm64") or any(
            getattr(torch.cpu, name, bool)() for name in instructions
        )
    return kind != "cuda" or torch.cuda.is_bf16_supported()


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs a block or, as `@one_thread()`, a function on one thread of PyTorch.

    Small patches are not worth sharing: waiting for a busy second core made frames ten times slower.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_threads(threads: int | None = None, *, deterministic: bool = False) -> int:
    """Returns the number of CPU threads to compute on.

    Where none is asked for, it is the number of processor cores that are idle now, at least one and at most as many as
    PyTorch would use: threads that wait for a busy core make a registration several times slower.

    Args:
        threads: the number asked for.
        deterministic: one thread, since sums over several threads are rounded differently each time their number
            changes.
    """
    import torch

    if deterministic or threads is not None:
        return 1 if deterministic else int(threads or 1)
    most = torch.get_num_threads()
    return most if most == 1 else max(1, min(most, round(_idle_cores())))


def threads_note(threads: int, device: str) -> str:
    """A line for users where the result depends on the number of threads; empty on one thread."""
    if threads == 1 or device != "cpu":
        return ""
    return (
        f"computed on {threads} threads; on another number the field differs slightly where the images say little"
        " (deterministic: one thread)"
    )


@contextmanager
def on_threads(threads: int, *, deterministic: bool = False) -> Iterator[None]:
    """Runs a block on a number of threads of PyTorch and SimpleITK; with `deterministic`, by PyTorch's deterministic
    algorithms where it has them.
    """
    import SimpleITK as sitk
    import torch

    before = torch.get_num_threads(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before[1])
        if deterministic:  # the call imports PyTorch's compiler, which takes as long as the rest of a short run
            torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])


def _idle_cores() -> float:
    """Returns the number of cores that this process may use and that are idle now."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    first = _idle_and_total()
    if first is None:  # not Linux: the mean load of the last minute
        return usable - os.getloadavg()[0] if hasattr(os, "getloadavg") else usable
    time.sleep(_IDLE_SAMPLE_S)
    second = _idle_and_total()
    assert second is not None, "/proc/stat does not vanish"
    passed = second[1] - first[1]
    idle_share = (second[0] - first[0]) / passed if passed > 0 else 1.0
    return idle_share * (os.cpu_count() or usable) * min(1.0, usable / (os.cpu_count() or usable))


def _idle_and_total() -> tuple[float, float] | None:
    """Returns the time that all cores together have been idle, and all their time, since the machine started."""
    try:
        times = [float(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    return times[3] + times[4], sum(times)


def _exists(kind: str, number: str) -> bool:
    import torch

    return number.isdecimal() and (kind != "cuda" or int(number) < torch.cuda.device_count())
