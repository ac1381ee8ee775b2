"""The one call that puts a moving image onto a fixed one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.changing_region import changing_region, faded, same_scan
from UltrasoundMotionLib.registration.checked_input import (
    check_labels_match,
    checked_image,
    checked_labels,
    checked_mask,
)
from UltrasoundMotionLib.registration.initial_alignment import KINDS, POOR_OVERLAP, align, overlap
from UltrasoundMotionLib.registration.measuring import measure
from UltrasoundMotionLib.registration.registration import Registration
from UltrasoundMotionLib.registration.registry import RegistrationMethod, find_method
from UltrasoundMotionLib.registration.working_grid import choose_working_grid, content_box, cut_grid, most_voxels
from UltrasoundMotionLib.registration.working_pair import WorkingPair, make_working_pair

if TYPE_CHECKING:
    import SimpleITK as sitk

OUT_OF_MEMORY_ATTEMPTS = 3


def register(
    fixed: Volume | sitk.Image,
    moving: Volume | sitk.Image,
    *,
    method: str = "instance",
    device: str = "auto",
    fixed_mask: Volume | sitk.Image | None = None,
    moving_mask: Volume | sitk.Image | None = None,
    initial_transform: str | sitk.Transform | None = "auto",
    fixed_labels: Volume | sitk.Image | None = None,
    moving_labels: Volume | sitk.Image | None = None,
    config: Any = None,
    refine: bool | None = None,
    working_spacing_mm: float | None = None,
    progress: Progress = no_progress,
    keep_partial: bool = False,
) -> Registration:
    """Finds where every point of the fixed image lies in the moving one.

    Args:
        fixed, moving: both 2D or both 3D, one component a voxel; any spacing, origin and direction.
        method: a name of `available_methods()`.
        device: "auto" (CUDA, then the CPU), "cpu", "cuda", "cuda:1", "mps".
        fixed_mask, moving_mask: on the grid of their image; voxels above 0 count in the likeness.
        initial_transform: from fixed to moving points, LPS mm. "auto" finds a rigid one where the images cover less
            than half of each other by their headers, "rigid" and "affine" always find one, None starts from the
            headers.
        fixed_labels, moving_labels: label maps on the grid of their image. Moving labels are carried along (nearest
            neighbour); with both, Dice and distances are measured. They never influence the field.
        config: settings of the method; when None its defaults, which may depend on the pair
            (`InstanceConfig.for_pair`).
        refine: of methods that learn: whether a network's answer is refined on this pair; None: as the configuration
            says.
        working_spacing_mm: axes that are finer are resampled to it for the search; the field is given on the fixed grid
            all the same.
        progress: called as the method advances; raising from it stops the call.
        keep_partial: when `progress` raises, return the best field so far (`interrupted` says so) rather than pass the
            exception on.

    Raises:
        InputError: images that cannot be registered (different dimensions, constant, NaN, no overlap), labels or masks
            that do not fit them, an unknown method or device, a configuration of another method, `refine` for a method
            that has nothing to refine.
    """
    began = time.perf_counter()
    chosen = find_method(method)
    config = _checked_config(config, chosen, refine)
    device = choose_registration_device(device, chosen)
    fixed, moving = checked_image(fixed, "fixed"), checked_image(moving, "moving")
    if fixed.array.ndim != moving.array.ndim:
        raise InputError(
            f"fixed is {fixed.array.ndim}D and moving {moving.array.ndim}D; both must have the same dimension"
        )
    fixed_mask, moving_mask = (
        checked_mask(fixed_mask, fixed, "fixed_mask"),
        checked_mask(moving_mask, moving, "moving_mask"),
    )
    fixed_labels, moving_labels = (
        checked_labels(fixed_labels, fixed, "fixed_labels"),
        checked_labels(moving_labels, moving, "moving_labels"),
    )
    check_labels_match(fixed_labels, moving_labels)
    if working_spacing_mm is not None and not working_spacing_mm > 0:
        raise InputError(f"working_spacing_mm: expected a positive number of mm, got {working_spacing_mm}")

    notes: list[str] = []
    start = _start(fixed, moving, initial_transform, notes)

    whole = tuple(slice(0, size) for size in fixed.array.shape)
    alike = start is None and same_scan(fixed, moving)
    region = changing_region(fixed, moving) if alike and fixed_mask is None and moving_mask is None else None
    content = region or (content_box(fixed, moving) if start is None else whole)

    def pair_of(limit: int) -> WorkingPair:
        working = choose_working_grid(ImageGrid.of(fixed), content, working_spacing_mm, limit, chosen.finest_mm)
        if working.note:
            notes.append(working.note)
        return make_working_pair(
            fixed, moving, working.grid, start, fixed_mask=fixed_mask, moving_mask=moving_mask, same_scan=alike
        )

    watch = _Watch(progress, keep_partial)
    pair, voxels, device = _run_within_memory(chosen, config, device, pair_of=pair_of, watch=watch, notes=notes)
    notes.extend(pair.notes)
    found = DisplacementField.from_voxels(voxels, pair.grid)
    if region is not None:
        inside = found.resample(cut_grid(ImageGrid.of(fixed), region)).displacement_mm
        found = DisplacementField(faded(inside, region, fixed.array.shape), ImageGrid.of(fixed))
        notes.append(
            f"the images differ in {_size_of(region)} of {_size_of(whole)} voxels only; the field fades to 0 around them"
        )
    displacement = _onto_fixed_grid(found, ImageGrid.of(fixed), start)
    warped = displacement.warp(moving, outside_value=float(moving.array.min()))
    warped_labels = None if moving_labels is None else displacement.warp(moving_labels, mode="nearest")
    labels = None if fixed_labels is None or moving_labels is None else (fixed_labels, moving_labels, warped_labels)
    measures = measure(pair, voxels, displacement, labels)
    return Registration(
        displacement=displacement,
        warped=replace(warped, name="warped"),
        warped_labels=warped_labels,
        measures=replace(measures, seconds=time.perf_counter() - began, device=device),
        method=chosen.name,
        notes=tuple(notes),
        interrupted=watch.interrupted,
    )


def choose_registration_device(device: str, method: RegistrationMethod) -> str:
    """The torch device to use. "auto" takes CUDA where there is one, else the CPU (MPS lacks 3D sampling).

    Raises:
        InputError: the device does not exist here, or the method cannot use it.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() and "cuda" in method.devices else "cpu"
    kind = device.split(":", maxsplit=1)[0]
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(kind, False):
        raise InputError(
            f"device {device} is not available on this machine; choose auto or one of {', '.join(k for k, v in present.items() if v)}"
        )
    if kind not in method.devices:
        raise InputError(f"device {device}: {method.name} runs on {', '.join(method.devices)} only")
    return device


class _Watch:
    """Passes progress on and remembers the field so far."""

    def __init__(self, progress: Progress, keep_partial: bool) -> None:
        self._progress, self.keep_partial = progress, keep_partial
        self.latest: Callable[[], Tensor] | None = None
        self.interrupted = False

    def __call__(self, done: int, total: int, message: str, displacement: Callable[[], Tensor]) -> None:
        self.latest = displacement
        try:
            self._progress(done, total, message)
        except BaseException as error:
            raise _Stopped from error


class _Stopped(Exception):
    """Carries what `progress` raised past the method."""


def _run_within_memory(
    method: RegistrationMethod,
    config: Any,
    device: str,
    *,
    pair_of: Callable[[int], WorkingPair],
    watch: _Watch,
    notes: list[str],
) -> tuple[WorkingPair, Tensor, str]:
    """Runs the method; where a GPU's memory runs out, again on a coarser grid, and at last on the CPU."""
    limit = most_voxels(device, method.bytes_per_voxel)
    for attempt in range(OUT_OF_MEMORY_ATTEMPTS):
        pair = pair_of(limit).to(device)
        try:
            settings = method.default_for(pair) if config is None else config
            return pair, method.run(pair, settings, watch).cpu(), device
        except torch.OutOfMemoryError:
            last = attempt == OUT_OF_MEMORY_ATTEMPTS - 2
            limit, notes[len(notes) :] = int(pair.fixed.numel() // 3), [f"{device} ran out of memory"]
            if last:
                notes.append("continued on the CPU")
                device, limit = "cpu", most_voxels("cpu", method.bytes_per_voxel)
        except _Stopped as stop:
            if not watch.keep_partial or watch.latest is None:
                raise stop.__cause__ from None
            watch.interrupted = True
            return pair, watch.latest().cpu(), device
    raise InputError(f"{method.name} ran out of memory on every grid tried; give a larger working_spacing_mm")


def _checked_config(config: Any, method: RegistrationMethod, refine: bool | None) -> Any:
    if config is not None and not isinstance(config, method.configuration):
        raise InputError(f"config: {method.name} takes {method.configuration.__name__}, got {type(config).__name__}")
    if refine is None:
        return config
    if not hasattr(method.configuration(), "refine"):
        raise InputError(f"refine: {method.name} has no prediction of a network to refine; leave it out")
    return replace(method.configuration() if config is None else config, refine=refine)


def _start(
    fixed: Volume, moving: Volume, initial: str | sitk.Transform | None, notes: list[str]
) -> sitk.Transform | None:
    """The transform to begin with, None for the identity."""
    grids = ImageGrid.of(fixed), ImageGrid.of(moving)
    if isinstance(initial, str) and initial not in ("auto", *KINDS):
        raise InputError(
            f"initial_transform: expected auto, rigid, affine, a SimpleITK transform or None, got {initial!r}"
        )
    if initial in KINDS:
        start = align(fixed, moving, initial)
    elif initial == "auto":
        by_header = overlap(*grids)
        if by_header >= POOR_OVERLAP:
            return None
        notes.append(
            f"the images cover {by_header:.0%} of each other by their headers; a rigid start was found by mutual information"
        )
        start = align(fixed, moving, "rigid")
    else:
        start = initial
        if start is not None and start.GetDimension() != fixed.array.ndim:
            raise InputError(f"initial_transform is {start.GetDimension()}D and the images {fixed.array.ndim}D")
    if overlap(*grids, start) == 0:
        hint = (
            "give initial_transform='auto'"
            if initial is None
            else "check the headers or give another initial_transform"
        )
        raise InputError(f"fixed and moving do not overlap; {hint}")
    return start


def _size_of(box: tuple[slice, ...]) -> str:
    return " x ".join(str(one.stop - one.start) for one in reversed(box))


def _onto_fixed_grid(found: DisplacementField, fixed: ImageGrid, start: sitk.Transform | None) -> DisplacementField:
    """The field on the fixed grid, the start after it: x -> start(x + u(x))."""
    if not found.grid.matches(fixed):
        found = found.resample(fixed)
    if start is None:
        return found
    return transform_after(start, found)


def transform_after(start: sitk.Transform, field: DisplacementField) -> DisplacementField:
    """x -> start(x + u(x)) on the grid of the field."""
    points = field.grid.points_lps_mm()
    moved = points + field.displacement_mm
    if start.IsLinear():
        origin = start.TransformPoint([0.0] * field.grid.dimension)
        axes = torch.eye(field.grid.dimension, dtype=torch.float64).tolist()
        columns = [[end - zero for end, zero in zip(start.TransformPoint(axis), origin, strict=True)] for axis in axes]
        carried = moved @ columns + origin
    else:
        flat = [start.TransformPoint(point) for point in moved.reshape(-1, field.grid.dimension).tolist()]
        carried = torch.tensor(flat, dtype=torch.float64).numpy().reshape(moved.shape)
    return DisplacementField((carried - points).astype(field.displacement_mm.dtype), field.grid)
