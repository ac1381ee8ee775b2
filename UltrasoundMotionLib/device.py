"""The device and the threads that networks and fields are computed on: one rule for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from UltrasoundMotionLib.errors import InputError

ALL_DEVICES = ("cuda", "mps", "cpu")
"""Kinds of device, the one preferred by "auto" first."""

WITHOUT_MPS = ("cuda", "cpu")
"""For what samples volumes or computes in float64: Apple's Metal has no `grid_sample` in 3D and no float64."""


def choose_device(device: str = "auto", *, supported: Sequence[str] = ALL_DEVICES, name: str = "") -> str:
    """Returns the PyTorch device to compute on.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps". "auto" takes the first kind of `ALL_DEVICES` that this machine
            has and that is supported.
        supported: kinds of device that the tracker or method can use.
        name: of the tracker or method, for messages.

    Raises:
        InputError: the device does not exist here, or cannot be used.
    """
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
    """A line for users where "auto" passes over a device that this machine has; empty otherwise."""
    present = present_devices()
    if device != "auto" or present[0] in supported:
        return ""
    return f"{name} runs on {choose_device(device, supported=supported)}: it needs operations that {present[0]} lacks"


def present_devices() -> tuple[str, ...]:
    """Kinds of device that this machine has, the one preferred by "auto" first; the CPU is always there."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return tuple(kind for kind in ALL_DEVICES if present[kind])


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


def _exists(kind: str, number: str) -> bool:
    import torch

    return number.isdecimal() and (kind != "cuda" or int(number) < torch.cuda.device_count())
