"""`register`: the displacement that puts a moving image onto a fixed one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.device import choose_device, choose_threads, device_note, on_threads, threads_note
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, jacobian_measures
from UltrasoundMotionLib.images.given_images import VolumeLike
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.changing_region import faded
from UltrasoundMotionLib.registration.checked_input import CheckedImages, check_images
from UltrasoundMotionLib.registration.coarse_images import transformed
from UltrasoundMotionLib.registration.fold_free import without_folds
from UltrasoundMotionLib.registration.guide_labels import check_guides, read_guides
from UltrasoundMotionLib.registration.label_doubts import ClassMaps, LabelCheck, compare_with_labels, compare_with_maps
from UltrasoundMotionLib.registration.measuring import match_doubt, measure
from UltrasoundMotionLib.registration.pair_decisions import decide_on_pair
from UltrasoundMotionLib.registration.registration import Registration
from UltrasoundMotionLib.registration.registry import MethodSetup, RegistrationMethod, find_method
from UltrasoundMotionLib.registration.request import AUTO, FIXED, RegisterRequest, with_config
from UltrasoundMotionLib.registration.working_grid import (
    choose_working_grid,
    cut_grid,
    most_voxels,
)
from UltrasoundMotionLib.registration.working_pair import WorkingPair, make_working_pair
from UltrasoundMotionLib.settings import takes_request

if TYPE_CHECKING:
    import SimpleITK as sitk

_OUT_OF_MEMORY_ATTEMPTS = 3


@takes_request(RegisterRequest)
def register(
    fixed: VolumeLike,
    moving: VolumeLike,
    *,
    fixed_mask: VolumeLike | None = None,
    moving_mask: VolumeLike | None = None,
    fixed_labels: VolumeLike | None = None,
    moving_labels: VolumeLike | None = None,
    config: Any = None,
    progress: Progress = no_progress,
    keep_partial: bool = False,
    request: RegisterRequest,
) -> Registration:
    """Finds where every point of the fixed image lies in the moving one.

    Args:
        fixed, moving: both 2D or both 3D, one component a voxel; any spacing, origin and direction: `Volume`s, paths,
            arrays (whose voxels count as 1 mm) or SimpleITK images.
        fixed_mask, moving_mask: on the grid of their image; voxels above 0 count in the likeness.
        fixed_labels, moving_labels: label maps on the grid of their image. Moving labels are carried along (nearest
            neighbour); with both, Dice and distances are measured. They influence the field only as `guide_labels`
            asks.
        config: former name of `settings`.
        progress: called as the method advances; raising from it stops the call.
        keep_partial: when `progress` raises, return the best field so far (`interrupted` says so) rather than pass the
            exception on.
        request: the options; each can be given by name instead, as in `register(..., method="demons")`.

    Raises:
        InputError: images that cannot be registered (different dimensions, constant, NaN, no overlap), labels or masks
            that do not fit them, an unknown method or device, settings of another method, weights of another network,
            `refine` for a method that has nothing to refine.
    """
    began = time.perf_counter()
    request = with_config(request, config)
    method = find_method(request.method)
    method.settings_from(request.settings, refine=request.refine)
    weights = method.card_from(request.weights)
    device = choose_device(request.device, supported=method.devices, name=method.name)
    images = check_images(
        fixed,
        moving,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
    )
    check_guides(images, request, method)
    threads = choose_threads(request.threads, deterministic=request.deterministic)
    said = device_note(request.device, supported=method.devices, name=method.name), threads_note(threads, device)
    arrays = [one for given, one in ((fixed, images.fixed), (moving, images.moving)) if isinstance(given, np.ndarray)]
    notes = [note for note in (*said, *(note for one in arrays for note in one.notes)) if note]
    watch = _Watch(progress, keep_partial)
    with on_threads(threads, deterministic=request.deterministic):
        registration = _register(images, request, method, weights=weights, device=device, watch=watch, notes=notes)
    measures = replace(registration.measures, seconds=time.perf_counter() - began, threads=threads)
    return replace(registration, measures=measures)


def _register(
    images: CheckedImages,
    request: RegisterRequest,
    method: RegistrationMethod,
    *,
    weights: Path | None,
    device: str,
    watch: _Watch,
    notes: list[str],
) -> Registration:
    """Registers checked images; adds to the notes."""
    decided = decide_on_pair(images, request)
    start, region = decided.start, decided.region
    notes.extend(decided.notes)
    if decided.different_modality and not method.compares_structures:
        raise InputError(
            f"{method.name} compares intensities, and those of one image are no rising or falling function of the"
            " other's, as with two modalities; use method='instance', which compares structures, or modality='same'"
        )

    def pair_of(limit: int) -> WorkingPair:
        working = choose_working_grid(images.grid, decided.content, request.working_spacing_mm, limit, method.finest_mm)
        if working.note:
            notes.append(working.note)
        return make_working_pair(
            decided.images,
            working.grid,
            start,
            same_scan=decided.one_scan,
            different_modality=decided.different_modality,
            may_turn=request.orientation == AUTO,
        )

    def run_on(pair: WorkingPair) -> Tensor:
        pair = replace(pair, guides=read_guides(images, pair, start, request))
        settings = method.settings_from(request.settings, refine=request.refine, pair=pair)
        return method.run(MethodSetup(pair, settings, watch, weights, watch.keep_maps))

    pair, voxels, device = _run_within_memory(method, device, run_on, pair_of=pair_of, watch=watch, notes=notes)
    notes.extend(pair.notes)
    found = DisplacementField.from_voxels(voxels, pair.grid)
    if region is not None:
        shape = images.grid.shape
        inside = found.resample(cut_grid(images.grid, region.box)).displacement_mm
        found = DisplacementField(faded(inside, region.box, shape), images.grid)
    if not found.grid.matches(images.grid):
        found = found.resample(images.grid)
    if not request.keep_folds:
        found = _unfolded(found, notes)
    displacement = found if start is None else _transform_after(start, found)
    warped = displacement.warp(images.moving, outside_value=float(images.moving.array.min()))
    warped_labels = None if images.moving_labels is None else displacement.warp(images.moving_labels, mode="nearest")
    lying = None
    if start is not None and request.initial_transform == AUTO:  # a start that was found is part of what is measured
        lying = make_working_pair(images, pair.grid, None).moving
    measures = measure(pair, voxels, displacement, images, warped_labels, before=decided.before, lying=lying)
    if doubt := match_doubt(measures.alike_before, measures.alike, decided.different_modality):
        notes.append(doubt)
    check = LabelCheck({})
    if warped_labels is not None and watch.maps is not None:
        check = _checked_labels(images, request, warped_labels, start, watch.maps)
        notes.extend(check.notes)
    return Registration(
        displacement=displacement,
        warped=replace(warped, name="warped"),
        warped_labels=warped_labels,
        measures=replace(measures, device=device, label_doubts=check.doubts),
        method=method.name,
        notes=tuple(notes),
        interrupted=watch.interrupted,
        label_confidence=check.confidence,
    )


def _checked_labels(
    images: CheckedImages, request: RegisterRequest, carried: Volume, start: sitk.Transform | None, maps: ClassMaps
) -> LabelCheck:
    """Compares carried labels with the fixed labels where these guided the field, else with the class maps."""
    assert images.moving_labels is not None
    if FIXED in request.guides and images.fixed_labels is not None:
        return compare_with_labels(carried, images.moving_labels, images.fixed_labels)
    return compare_with_maps(carried, images.moving_labels, start, maps)


class _Watch:
    """Passes progress on, and keeps the field so far and the class maps; a method's `Report`."""

    def __init__(self, progress: Progress, keep_partial: bool) -> None:
        self._progress, self.keep_partial = progress, keep_partial
        self.latest: Callable[[], Tensor] | None = None
        self.maps: ClassMaps | None = None
        self.interrupted = False

    def __call__(self, done: int, total: int, message: str, displacement: Callable[[], Tensor]) -> None:
        self.latest = displacement
        try:
            self._progress(done, total, message)
        except BaseException as error:
            raise _Stopped(error) from error

    def keep_maps(self, maps: ClassMaps) -> None:
        """Keeps the class maps of the pair."""
        self.maps = maps


class _Stopped(Exception):
    """Carries the exception of `progress` past the method."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__()
        self.reason = reason


def _run_within_memory(
    method: RegistrationMethod,
    device: str,
    run_on: Callable[[WorkingPair], Tensor],
    *,
    pair_of: Callable[[int], WorkingPair],
    watch: _Watch,
    notes: list[str],
) -> tuple[WorkingPair, Tensor, str]:
    """Runs the method. When a GPU's memory runs out, runs it again on a coarser grid, and finally on the CPU.

    Returns:
        The working pair, the displacement (1, n, *spatial) in its voxels, and the device.
    """
    limit = most_voxels(device, method.bytes_per_voxel)
    for attempt in range(_OUT_OF_MEMORY_ATTEMPTS):
        pair = pair_of(limit).to(device)
        try:
            return pair, run_on(pair).cpu(), device
        except torch.OutOfMemoryError:
            last = attempt == _OUT_OF_MEMORY_ATTEMPTS - 2
            limit, notes[len(notes) :] = int(pair.fixed.numel() // 3), [f"{device} ran out of memory"]
            if last:
                notes.append("continued on the CPU")
                device, limit = "cpu", most_voxels("cpu", method.bytes_per_voxel)
        except _Stopped as stop:
            if not watch.keep_partial or watch.latest is None:
                raise stop.reason from None
            watch.interrupted = True
            return pair, watch.latest().cpu(), device
    raise InputError(f"{method.name} ran out of memory on every grid tried; give a larger working spacing")


def _unfolded(found: DisplacementField, notes: list[str]) -> DisplacementField:
    """Returns a field that folds nowhere, and notes the share that did."""
    voxels = found.to_voxels()
    folded = jacobian_measures(voxels).share_nonpositive
    if not folded:
        return found
    notes.append(
        f"{max(folded, 1e-4):.2%} of the field folded; the flow of a smooth velocity near it was taken, which does not;"
        " keep folds to have it as it was"
    )
    return DisplacementField.from_voxels(without_folds(voxels, found.grid.spacing_mm), found.grid)


def _transform_after(start: sitk.Transform, field: DisplacementField) -> DisplacementField:
    """A field followed by a transform, x -> start(x + u(x)), on the grid of the field."""
    points = field.grid.points_lps_mm()
    carried = transformed(points + field.displacement_mm, start)
    return DisplacementField((carried - points).astype(field.displacement_mm.dtype), field.grid)
