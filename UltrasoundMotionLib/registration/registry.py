"""The registration methods by name. A method registers itself; adding one touches its own file and `all_methods`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.working_pair import WorkingPair

ALL_DEVICES = ("cpu", "cuda", "mps")
FIELD_BYTES = 600
"""Of a field that is optimised itself: 260 a voxel measured in 3D, 280 in 2D, doubled for what other libraries keep."""


class Report(Protocol):
    """Called by a method after each piece of work.

    `displacement` gives the field so far when it is asked for; raising stops the method.
    """

    def __call__(self, done: int, total: int, message: str, displacement: Callable[[], Tensor]) -> None: ...


Run = Callable[[WorkingPair, Any, Report], Tensor]
"""(pair on its device, configuration, report) -> displacement (1, n, *spatial) in voxels of the pair's grid, channels
(x, y[, z]).
"""


@dataclass(frozen=True)
class RegistrationMethod:
    """A method that `register(method=...)` takes.

    Attributes:
        name: of the method.
        summary: one line for lists.
        configuration: frozen dataclass of its settings; without arguments it gives the defaults.
        run: does the work.
        devices: the kinds of device it can use.
        bytes_per_voxel: what it holds at its peak for each voxel of the working grid, by measurement, rounded up.
        finest_mm: voxels of the working grid may be that fine, where thick slices would else make them coarser
            (`choose_working_grid`).
    """

    name: str
    summary: str
    configuration: type
    run: Run
    devices: tuple[str, ...] = ALL_DEVICES
    bytes_per_voxel: int = FIELD_BYTES
    finest_mm: float | None = None

    def default_for(self, pair: WorkingPair) -> Any:
        """The settings for a pair when none are given: what the configuration's `for_pair` says where it has one, else
        its defaults.
        """
        for_pair = getattr(self.configuration, "for_pair", None)
        return self.configuration() if for_pair is None else for_pair(pair)


_METHODS: dict[str, RegistrationMethod] = {}


def registration_method(
    name: str,
    summary: str,
    configuration: type,
    *,
    devices: tuple[str, ...] = ALL_DEVICES,
    bytes_per_voxel: int = FIELD_BYTES,
    finest_mm: float | None = None,
) -> Callable[[Run], Run]:
    """Decorator: makes a function a registration method."""

    def add(run: Run) -> Run:
        if name in _METHODS:
            raise InputError(f"a registration method named {name} is registered already")
        _METHODS[name] = RegistrationMethod(name, summary, configuration, run, devices, bytes_per_voxel, finest_mm)
        return run

    return add


def available_methods() -> tuple[RegistrationMethod, ...]:
    """All methods, in the order of registration."""
    for name in (
        "demons",
        "instance",
        "multiscale.method",
        "ltnet.method",
        "semantic.semantic_method",
        "voxelmorph.method",
    ):
        import_module(f"UltrasoundMotionLib.registration.methods.{name}")

    return tuple(_METHODS.values())


def find_method(name: str) -> RegistrationMethod:
    """The method of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    methods = {method.name: method for method in available_methods()}
    if name not in methods:
        raise InputError(f"there is no registration method named {name}; choose one of {', '.join(methods)}")
    return methods[name]
