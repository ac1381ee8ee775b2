"""`benchmark registration-robustness`: the same pairs as they come to users: cropped, shifted, turned, coarser."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.fields import ImageGrid
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
from UltrasoundMotionLib.lab.registration_datasets import LabelledImage, RegistrationPair, at_spacing

_CROP_VOXELS, _SHIFT_MM = 8, 3.0
_OBLIQUE = (1.0, 2.0, -1.0)
"""Axis about which volumes without thick slices are turned, LPS."""

PLAIN = "plain"


@dataclass(frozen=True)
class RobustnessRow:
    """One pair under one condition.

    Attributes:
        pair: its name.
        dice: mean over the labels, carried to the fixed grid.
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


def _cropped(pair: RegistrationPair) -> RegistrationPair:
    """Takes 8 voxels from each side of the moving image along its two longest axes."""
    longest = np.argsort(pair.moving.image.array.shape)[-2:]
    cut = tuple(
        slice(_CROP_VOXELS, -_CROP_VOXELS) if axis in longest else slice(None)
        for axis in range(pair.moving.image.array.ndim)
    )

    def part(volume: Volume) -> Volume:
        first = np.array([one.start or 0 for one in cut][::-1]) * volume.spacing_mm
        origin = np.array(volume.origin_mm) + volume.direction @ first
        return replace(volume, array=np.ascontiguousarray(volume.array[cut]), origin_mm=tuple(origin))

    return replace(pair, moving=_both(pair.moving, part))


def _shifted(pair: RegistrationPair) -> RegistrationPair:
    """Moves the origin in the moving image's header by 3 mm along its first axis."""

    def moved(volume: Volume) -> Volume:
        return replace(volume, origin_mm=tuple(np.array(volume.origin_mm) + volume.direction[:, 0] * _SHIFT_MM))

    return replace(pair, moving=_both(pair.moving, moved))


def _coarser(pair: RegistrationPair) -> RegistrationPair:
    """Gives the moving image half the resolution along its two finest axes."""
    spacing = np.array(pair.moving.image.spacing_mm)
    spacing[np.argsort(spacing, kind="stable")[:2]] *= 2
    wanted = tuple(float(one) for one in spacing)
    return replace(
        pair,
        moving=LabelledImage(
            at_spacing(pair.moving.image, wanted), at_spacing(pair.moving.labels, wanted, nearest=True)
        ),
    )


def _turned(degrees: float, *, both: bool = False) -> Callable[[RegistrationPair], RegistrationPair]:
    """Turns the content of the moving image, or of both, about the middle of its grid; corners are lost."""

    def turn(pair: RegistrationPair) -> RegistrationPair:
        moving = _turned_image(pair.moving, degrees)
        return replace(pair, moving=moving, fixed=_turned_image(pair.fixed, degrees) if both else pair.fixed)

    return turn


CONDITIONS: dict[str, Callable[[RegistrationPair], RegistrationPair]] = {
    PLAIN: lambda pair: pair,
    "crop": _cropped,
    "shift": _shifted,
    "turned-20": _turned(20),
    "turned-40": _turned(40),
    "turned-90": _turned(90),
    "turned-180": _turned(180),
    "both-turned-130": _turned(130, both=True),
    "half-resolution": _coarser,
}


def _turned_image(one: LabelledImage, degrees: float) -> LabelledImage:
    import SimpleITK as sitk

    from UltrasoundMotionLib.registration.rotation_search import rotation_about

    grid = ImageGrid.of(one.image)
    thick = max(grid.spacing_mm) >= 2.5 * min(grid.spacing_mm)
    axis = grid.direction[:, int(np.argmax(grid.spacing_mm))] if thick else np.array(_OBLIQUE)
    transform = sitk.AffineTransform(3)
    transform.SetCenter(grid.middle_mm.tolist())
    transform.SetMatrix(rotation_about(axis, degrees).ravel().tolist())

    def turned(volume: Volume, interpolator: int) -> Volume:
        image = volume.to_sitk()
        outside = float(volume.array.min())
        return replace(
            volume, array=sitk.GetArrayFromImage(sitk.Resample(image, image, transform, interpolator, outside))
        )

    return LabelledImage(turned(one.image, sitk.sitkLinear), turned(one.labels, sitk.sitkNearestNeighbor))


def _both(one: LabelledImage, change: Callable[[Volume], Volume]) -> LabelledImage:
    return LabelledImage(change(one.image), change(one.labels))


def measured(method: str, pair: RegistrationPair) -> RobustnessRow:
    """Registers one pair as `register` does by default, and scores it by the labels."""
    from UltrasoundMotionLib.registration import register

    found = register(
        pair.fixed.image,
        pair.moving.image,
        fixed_labels=pair.fixed.labels,
        moving_labels=pair.moving.labels,
        method=method,
        threads=1,
        device="cpu",
    )
    dice = float(np.nanmean([one.dice for one in found.measures.labels.values()]))
    return RobustnessRow(pair.name, dice, any("may not match" in note for note in found.notes))


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
turned, and at half the resolution. Every condition is compared with the plain pairs, pair by pair."""


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
                    done[pair.name] = measured(method, CONDITIONS[condition](pair))
                    if kept is not None:
                        kept.append(done[pair.name])
            rows.append(ConditionRows(method, condition, tuple(done[pair.name] for pair in pairs)))
    show(BenchmarkResult(COLUMNS, tuple(rows), cases=CASES, against=PLAIN), arguments)
    return 0
