"""Doubts about carried labels, by slice: a label is carried where the fixed image does not show it, or the opposite.

A smooth field that does not fold cannot make a label vanish, and from one thick slice of a stack to the next it moves
little. Labels of a heart's basal slices are thus carried also into slices of the fixed image that have none of them. A
network's class map of the fixed image, or the user's labels of it, show such slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.likeness import slice_axis
from UltrasoundMotionLib.registration.registration import FIXED_LABELS, NETWORK, LabelDoubt
from UltrasoundMotionLib.registration.working_pair import on_grid

if TYPE_CHECKING:
    import SimpleITK as sitk
    from torch import Tensor

_FINDINGS = {
    NETWORK: ("the network sees hardly any", "the network sees it"),
    FIXED_LABELS: ("the fixed labels have hardly any", "the fixed labels have it"),
}

_SAME = 0.6
"""Least Dice of a label of the moving image with a class of its map, by which the two mean the same structure."""

_RELEVANT = 0.1
"""Area in a slice, as a share of the label's largest area in any slice, from which a label counts as there."""

_NONE = 0.2
"""Area, as a share of that on the other side, below which a label counts as not there."""


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """A network's class maps of a pair.

    Attributes:
        labels: names of the classes by their label values, in the order of the channels.
        fixed, moving: (1, C, *grid.shape), probabilities.
        known: (1, 1, *grid.shape), above 0.5 in the part that the network was given.
        grid: of the working pair.
    """

    labels: Mapping[int, str]
    fixed: Tensor
    moving: Tensor
    known: Tensor
    grid: ImageGrid


@dataclass(frozen=True, eq=False)
class LabelCheck:
    """The comparison of carried labels with the fixed image.

    Attributes:
        doubts: by the values of the labels that were compared; without slices where there is no doubt.
        confidence: on the fixed grid, see `compare_with_maps`; None: there are no class maps.
        notes: lines for the user.
    """

    doubts: Mapping[int, LabelDoubt]
    confidence: Volume | None = None
    notes: tuple[str, ...] = ()


def compare_with_maps(
    carried: Volume, moving_labels: Volume, start: sitk.Transform | None, maps: ClassMaps
) -> LabelCheck:
    """Compares carried labels with the class map of the fixed image, where the network was given it.

    The numbers of the labels are not relied on: a label is compared with the class that it matches in the moving image
    (Dice 0.6 or more); labels that match none are not compared, and a note names them.

    The confidence of a carried label is the probability of its class in the fixed image; that of the background is the
    probability of none of the classes that the labels match, and is known only if all labels match one. It is NaN where
    it is not known: for labels that match no class, and outside the part that the network was given.

    Args:
        carried: the moving labels on the fixed grid.
        start: the transform from the points of the working grid to those of the moving image; None: the identity.
    """
    values = [int(value) for value in np.unique(moving_labels.array) if value > 0]
    matches = _matching_classes(values, moving_labels, start, maps)
    grid = ImageGrid.of(carried)
    known = _on_fixed(maps.known, maps.grid, grid, nearest=True) > 0.5
    axis = _slice_axis(carried)
    doubts, background = {}, np.ones(grid.shape, np.float32)
    confidence = np.full(grid.shape, np.nan, np.float32)
    names = list(maps.labels.values())
    for value, channel in matches.items():
        shares = _on_fixed(maps.fixed[:, channel], maps.grid, grid)
        chosen = carried.array == value
        doubts[value] = _doubt_of(chosen & known, (shares > 0.5) & known, axis, names[channel], NETWORK)
        confidence[chosen] = shares[chosen]
        background -= shares
    if len(matches) == len(values):
        confidence[carried.array == 0] = background[carried.array == 0]
    confidence[~known] = np.nan
    notes = list(_notes_of(doubts))
    if missing := [value for value in values if value not in matches]:
        listed = _listed(missing)
        notes.append(
            f"label{'s' * (len(missing) > 1)} {listed} could not be compared with what the network sees: in the moving"
            f" image {'they match' if len(missing) > 1 else 'it matches'} none of {', '.join(names)}"
        )
    volume = Volume(np.clip(confidence, 0, 1), grid.spacing_mm, grid.origin_mm, grid.direction, "confidence")
    return LabelCheck(doubts, volume, tuple(notes))


def compare_with_labels(carried: Volume, moving_labels: Volume, fixed_labels: Volume) -> LabelCheck:
    """Compares carried labels with those of the fixed image, by the values that both images' label maps have."""
    axis = _slice_axis(carried)
    values = [int(value) for value in np.intersect1d(moving_labels.array, fixed_labels.array) if value > 0]
    doubts = {
        value: _doubt_of(carried.array == value, fixed_labels.array == value, axis, "", FIXED_LABELS)
        for value in values
    }
    return LabelCheck(doubts, notes=_notes_of(doubts))


def _matching_classes(
    values: Sequence[int], labels: Volume, start: sitk.Transform | None, maps: ClassMaps
) -> dict[int, int]:
    """Returns the channel of the class that each label of the moving image matches; labels without one are left out."""
    known = maps.known[0, 0].cpu().numpy() > 0.5
    lying = on_grid(labels, maps.grid, start, nearest=True)[known]
    classes = [one.cpu().numpy()[known] > 0.5 for one in maps.moving[0]]
    matches = {}
    for value in values:
        chosen = lying == value
        overlaps = [2 * (chosen & one).sum() / max(1, chosen.sum() + one.sum()) for one in classes]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= _SAME:
            matches[value] = best
    return matches


def _on_fixed(values: Tensor, working: ImageGrid, grid: ImageGrid, *, nearest: bool = False) -> np.ndarray:
    """Resamples (1, [1, ]*working.shape) onto the fixed grid, (*grid.shape); outside, as `on_grid` does."""
    array = values.reshape(working.shape).cpu().numpy()
    return on_grid(Volume(array, working.spacing_mm, working.origin_mm, working.direction), grid, None, nearest)


def _slice_axis(volume: Volume) -> int | None:
    """Returns the axis of the array along which thick slices are stacked; None where there are no two."""
    axis = slice_axis(volume.spacing_mm)
    return None if axis is None or volume.array.shape[axis - 1] == 1 else axis - 1


def _doubt_of(carried: np.ndarray, seen: np.ndarray, axis: int | None, name: str, compared_with: str) -> LabelDoubt:
    """Compares by slice where a label is carried with where it is seen, (*spatial) bool each."""
    other = tuple(one for one in range(carried.ndim) if one != axis)
    there, shown = (np.atleast_1d(one.sum(axis=other)) for one in (carried, seen))
    return LabelDoubt(
        name,
        compared_with,
        "" if axis is None else "kji"[axis],
        only_carried=_slices_of_one(there, shown),
        only_seen=_slices_of_one(shown, there),
    )


def _slices_of_one(there: np.ndarray, other: np.ndarray) -> tuple[int, ...]:
    """Returns the slices with a relevant area on one side and practically none on the other."""
    relevant = (there > 0) & (there >= _RELEVANT * there.max())
    return tuple(int(one) for one in np.flatnonzero(relevant & (other < _NONE * there)))


def _notes_of(doubts: Mapping[int, LabelDoubt]) -> tuple[str, ...]:
    """Returns a line for users on each label that is in doubt."""
    notes = []
    for value, doubt in doubts.items():
        label = f"label {value} ({doubt.name})" if doubt.name else f"label {value}"
        none, some = _FINDINGS[doubt.compared_with]
        if doubt.only_carried:
            place = _place(doubt.only_carried, doubt.axis)
            notes.append(f"{label} is carried into {place}, where {none}: check it there")
        if doubt.only_seen:
            place = _place(doubt.only_seen, doubt.axis)
            notes.append(f"{label} is hardly carried into {place}, where {some}: check it there")
    return tuple(notes)


def _place(slices: Sequence[int], axis: str) -> str:
    """Returns "slices k = 1 and 2 (from 0)", or "the fixed image" for one that is no stack of slices."""
    return f"slice{'s' * (len(slices) > 1)} {axis} = {_listed(slices)} (from 0)" if axis else "the fixed image"


def _listed(values: Sequence[int]) -> str:
    """Returns "1", "1 and 2" or "1, 2 and 3"."""
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}" if first else last
