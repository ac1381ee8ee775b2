"""`benchmark registration-robustness`: the same pairs as they come to users: cropped, shifted, turned, coarser."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    check_arguments,
    show,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.registration.protocols import ACDC, PARTS, PROTOCOLS, protocol_pairs
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.lab.registration_datasets import RegistrationPair, at_spacing

if TYPE_CHECKING:
    import SimpleITK as sitk

_CROP_VOXELS, _SHIFT_MM = 8, 3.0
_OBLIQUE = (1.0, 2.0, -1.0)
"""Axis about which volumes without thick slices are turned, LPS."""

PLAIN = "plain"


@dataclass(frozen=True)
class RobustnessRow:
    """One pair under one condition.

    Attributes:
        pair: its name.
        dice: mean over the labels, carried from the moving image as it was to the fixed one as it was.
        warned: whether a note said that the images may not match.
    """

    pair: str
    dice: float
    warned: bool


@dataclass(frozen=True)
class ConditionRows:
    """All pairs under one condition with one method."""

    method: str
    condition: str
    rows: tuple[RobustnessRow, ...]

    @property
    def warned(self) -> int:
        """The number of pairs with a warning."""
        return sum(row.warned for row in self.rows)


@dataclass(frozen=True, eq=False)
class ChangedPair:
    """The images of a pair under a condition.

    Attributes:
        fixed, moving: the images that are registered.
        fixed_was, moving_was: carry LPS points of each to the same place of the image as it was; None: unchanged.
    """

    fixed: Volume
    moving: Volume
    fixed_was: sitk.Transform | None = None
    moving_was: sitk.Transform | None = None

    def as_it_was(self, field: DisplacementField, grid: ImageGrid) -> DisplacementField:
        """Carries a field between the changed images back to those that were changed.

        Args:
            field: of the changed pair.
            grid: of the fixed image as it was, on which the result lies.
        """
        from UltrasoundMotionLib.registration.coarse_images import transformed

        points = grid.points_lps_mm()
        start = points if self.fixed_was is None else transformed(points, self.fixed_was.GetInverse())
        end = start + field.displacement_at(start)
        if self.moving_was is not None:
            end = transformed(end, self.moving_was)
        return DisplacementField((end - points).astype(np.float32), grid)


def _plain(fixed: Volume, moving: Volume) -> ChangedPair:
    return ChangedPair(fixed, moving)


def _cropped(fixed: Volume, moving: Volume) -> ChangedPair:
    """Takes 8 voxels from each side of the moving image along its two longest axes."""
    longest = np.argsort(moving.array.shape)[-2:]
    cut = tuple(
        slice(_CROP_VOXELS, -_CROP_VOXELS) if axis in longest else slice(None) for axis in range(moving.array.ndim)
    )
    first = np.array([one.start or 0 for one in cut][::-1]) * moving.spacing_mm
    origin = np.array(moving.origin_mm) + moving.direction @ first
    part = replace(moving, array=np.ascontiguousarray(moving.array[cut]), origin_mm=tuple(origin))
    return ChangedPair(fixed, part)


def _shifted(fixed: Volume, moving: Volume) -> ChangedPair:
    """Moves the origin in the moving image's header by 3 mm along its first axis."""
    import SimpleITK as sitk

    shift = moving.direction[:, 0] * _SHIFT_MM
    moved = replace(moving, origin_mm=tuple(np.array(moving.origin_mm) + shift))
    return ChangedPair(fixed, moved, moving_was=sitk.TranslationTransform(len(shift), (-shift).tolist()))


def _coarser(fixed: Volume, moving: Volume) -> ChangedPair:
    """Gives the moving image half the resolution along its two finest axes."""
    spacing = np.array(moving.spacing_mm)
    spacing[np.argsort(spacing, kind="stable")[:2]] *= 2
    return ChangedPair(fixed, at_spacing(moving, tuple(float(one) for one in spacing)))


def _turned(degrees: float, *, both: bool = False) -> Callable[[Volume, Volume], ChangedPair]:
    """Turns the content of the moving image, or of both, about the middle of its grid; corners are lost."""

    def turn(fixed: Volume, moving: Volume) -> ChangedPair:
        """Turns the moving image, or both."""
        moved, moving_was = _turned_image(moving, degrees)
        if not both:
            return ChangedPair(fixed, moved, moving_was=moving_was)
        turned, fixed_was = _turned_image(fixed, degrees)
        return ChangedPair(turned, moved, fixed_was, moving_was)

    return turn


CONDITIONS: dict[str, Callable[[Volume, Volume], ChangedPair]] = {
    PLAIN: _plain,
    "crop": _cropped,
    "shift": _shifted,
    "turned-20": _turned(20),
    "turned-40": _turned(40),
    "turned-90": _turned(90),
    "turned-180": _turned(180),
    "both-turned-130": _turned(130, both=True),
    "half-resolution": _coarser,
}


def _turned_image(volume: Volume, degrees: float) -> tuple[Volume, sitk.Transform]:
    """Returns the turned image, and the transform of its points to the same place of the image as it was."""
    import SimpleITK as sitk

    from UltrasoundMotionLib.registration.rotation_search import rotation_about

    grid = ImageGrid.of(volume)
    thick = max(grid.spacing_mm) >= 2.5 * min(grid.spacing_mm)
    axis = grid.direction[:, int(np.argmax(grid.spacing_mm))] if thick else np.array(_OBLIQUE)
    transform = sitk.AffineTransform(3)
    transform.SetCenter(grid.middle_mm.tolist())
    transform.SetMatrix(rotation_about(axis, degrees).ravel().tolist())
    image = volume.to_sitk()
    turned = sitk.Resample(image, image, transform, sitk.sitkLinear, float(volume.array.min()))
    return replace(volume, array=sitk.GetArrayFromImage(turned)), transform


def measured(method: str, pair: RegistrationPair, condition: str) -> RobustnessRow:
    """Registers one pair as `register` does by default, and scores it by the labels of the pair as it was."""
    import torch

    from UltrasoundMotionLib.registration import register
    from UltrasoundMotionLib.similarity import dice

    changed = CONDITIONS[condition](pair.fixed.image, pair.moving.image)
    found = register(changed.fixed, changed.moving, method=method, threads=1, device="cpu")
    field = changed.as_it_was(found.displacement, ImageGrid.of(pair.fixed.image))
    fixed, carried = pair.fixed.labels.array, field.warp(pair.moving.labels, mode="nearest").array
    values = [int(value) for value in np.unique(fixed) if value]
    overlaps = dice(
        torch.from_numpy(fixed.astype(np.int64))[None], torch.from_numpy(carried.astype(np.int64))[None], values
    )
    return RobustnessRow(
        pair.name, float(np.nanmean(list(overlaps.values()))), any("may not match" in note for note in found.notes)
    )


CASES: CaseMeasure[ConditionRows] = CaseMeasure(
    "Dice",
    values=lambda one: {row.pair: row.dice for row in one.rows},
    method=lambda one: one.condition,
    group=lambda one: one.method,
)
COLUMNS: tuple[Column[ConditionRows], ...] = (
    Column("method", "method", names_method=True),
    Column("moving image", "condition"),
    Column("pairs", lambda one: len(one.rows)),
    Column("warned", "warned"),
)

DESCRIPTION = """Mean Dice of the same pairs as they are, and with the moving image cropped by 8 voxels, its header
shifted by 3 mm, turned by 20 to 180 degrees (about the axis of thick slices, else about an oblique one), both images
turned, and at half the resolution. The labels stay as they were: the field found is carried back by the known change.
Every condition is compared with the plain pairs, pair by pair."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the benchmark to the command line."""
    parser = commands.add_parser(
        "registration-robustness",
        help="registration of cropped, shifted, turned and coarser pairs",
        description=DESCRIPTION,
    )
    parser.add_argument("protocol", choices=PROTOCOLS, nargs="?", default=ACDC)
    add_data_argument(parser, content="the data set of the protocol")
    parser.add_argument("--pairs", type=whole_number, default=4, metavar="N", help="pairs (default 4)")
    parser.add_argument("--part", choices=PARTS, default="held-out", help="subjects (default held-out)")
    parser.add_argument("--methods", nargs="+", default=["instance", "anatomy-guided", "demons"], metavar="M")
    parser.add_argument("--conditions", nargs="+", choices=tuple(CONDITIONS), default=tuple(CONDITIONS), metavar="C")
    parser.add_argument("--rows", type=Path, metavar="ROWS.jsonl", help="keep every pair as it is done")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the benchmark and prints its table."""
    check_arguments(arguments)
    pairs = protocol_pairs(arguments.protocol, arguments.data, arguments.pairs, arguments.part)
    rows = []
    for method in arguments.methods:
        for condition in arguments.conditions:
            kept = None
            if arguments.rows is not None:
                setting = {"protocol": arguments.protocol, "part": arguments.part}
                shared = {**setting, "method": method, "condition": condition}
                kept = RowFile(arguments.rows, RobustnessRow, shared, case=lambda row: row.pair)
            done = {} if kept is None else kept.read()
            for pair in pairs:
                if pair.name not in done:
                    done[pair.name] = measured(method, pair, condition)
                    if kept is not None:
                        kept.append(done[pair.name])
            rows.append(ConditionRows(method, condition, tuple(done[pair.name] for pair in pairs)))
    show(BenchmarkResult(COLUMNS, tuple(rows), cases=CASES, against=PLAIN), arguments)
    return 0
