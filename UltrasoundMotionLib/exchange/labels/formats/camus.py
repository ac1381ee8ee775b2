"""CAMUS' masks (NIfTI) as contours: label 1 is the left ventricle, 2 its muscle, 3 the left atrium.

Data set: Leclerc et al., IEEE Transactions on Medical Imaging 2019. A mask labels whole pixels; the contours run along
their borders, half a pixel from their centres. Files hold one frame (`patient0001_4CH_ED_gt.nii.gz`) or, with time as
the last axis, a half sequence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.labels import CURVE, ClipReference, LabelCollector, Labels, numbered
from UltrasoundMotionLib.exchange.labels.mask_contours import (
    contour_around_muscle,
    contour_of_cavity,
    mask_of_contours,
)
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format

CAVITY, MUSCLE, ATRIUM = 1, 2, 3
INNER, OUTER = "endocardium", "epicardium"


def read_masks(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns masks (T, H, W) of labels, and notes.

    Raises:
        InputError: no image of whole numbers from 0 to 3, or none with the ventricle.
    """
    from UltrasoundMotionLib.images import read_volume

    volume = read_volume(path)
    masks = volume.array if volume.array.ndim == 3 else volume.array[None]
    found = np.unique(masks)
    if not np.all(np.isin(found, (0, CAVITY, MUSCLE, ATRIUM))) or CAVITY not in found:
        shown = ", ".join(f"{value:g}" for value in found[:6])
        raise InputError(f"{path}: holds the values {shown}; a mask of CAMUS has labels 0 to 3, 1 for the ventricle")
    return masks.astype(np.uint8), volume.notes


@label_format
class Camus(LabelFormat):
    """Masks of CAMUS."""

    name = "camus"
    summary = "CAMUS masks (.nii.gz): endocardium and epicardium as contours of 49 points"
    origin = "labels of whole pixels; contours run along the pixels' borders"
    endings = (".nii", ".nii.gz")
    frame_of_single = True
    rank = 70

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for NIfTI."""
        return file.name.endswith(self.endings)

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads both contours of each frame; a single mask is that of frame 0 unless another is named."""
        masks, notes = read_masks(path)
        if frame is not None and len(masks) > 1:
            raise InputError(f"{path}: holds the masks of {len(masks)} frames; --frame is for a single one")
        collector = LabelCollector(path)
        kept = list(notes)
        for number, mask in enumerate(masks, start=frame or 0):
            where = f"frame {number}"
            try:
                inner = contour_of_cavity(mask, cavity=CAVITY, muscle=MUSCLE)
                outer = contour_around_muscle(mask, inner, cavity=CAVITY, muscle=MUSCLE)
            except InputError as error:
                kept.append(f"{path}: {where} is left out: {error}")
                continue
            for name, contour in ((INNER, inner), (OUTER, outer)):
                labels = numbered(name, len(contour))
                collector.group(name, labels, kind=CURVE)
                for label, (x, y) in zip(labels, contour.tolist(), strict=True):
                    collector.add(where, number, label, (x, y))
        if np.any(masks == ATRIUM):
            kept.append(f"{path}: the atrium (label 3) has no contour here")
        size = (masks.shape[2], masks.shape[1])
        name = path.name.split(".")[0].removesuffix("_gt")
        count = len(masks) + (frame or 0)
        return collector.finish(clip, frame_count=count, frame_size=size, clip_name=name, notes=kept)

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes masks of all frames, or that of the only labelled one."""
        from UltrasoundMotionLib.images import Volume, write_volume

        size = labels.frame_size or (clip.sequence.frame_size if clip else None)
        if size is None:
            raise InputError(f"{path}: a mask needs the size of the image; name the clip with --image")
        inner, outer = _columns(path, labels)
        there = np.asarray(labels.labelled[:, inner + outer].all(axis=1))
        frames = np.flatnonzero(there)
        if not len(frames):
            raise InputError(f"{path}: the contours have all their points on no frame")
        if len(frames) > 1 and not there.all():
            missing = int(np.flatnonzero(~there)[0])
            raise InputError(
                f"{path}: frame {missing} has no whole contour, and an empty mask would say that there is no heart; "
                "choose one frame with --frame"
            )
        positions = labels.tracks.positions_px
        masks = np.stack(
            [
                mask_of_contours(positions[one, inner], positions[one, outer] if outer else None, (size[1], size[0]))
                for one in frames
            ]
        )
        spacing = labels.tracks.spacing_mm or (clip.sequence.spacing_mm if clip else None)
        origin = clip.sequence.origin_mm if clip else (0.0, 0.0, 0.0)
        direction = clip.sequence.direction if clip else np.eye(3)
        sizes = (*(spacing or (1.0, 1.0)), 1.0)
        write_volume(path, Volume(masks, sizes, origin, direction, name=str(path)))
        kept = set(inner + outer)
        others = [label for column, label in enumerate(labels.tracks.labels) if column not in kept]
        lost = ["camus holds whole pixels, so contours are rounded to them, and closed by a line across the base"]
        if spacing is None:
            lost.append("the pixel size is unknown: the mask's header counts a pixel as 1 mm")
        if others:
            lost.append(f"camus holds no other points than the two contours' ({', '.join(others[:4])})")
        if len(frames) < len(there):
            lost.append(f"camus does not hold the number of the frame, which is {int(frames[0])}")
        return lost


def _columns(path: Path, labels: Labels) -> tuple[list[int], list[int]]:
    """Returns the columns of the inner and the outer contour; the outer may be missing."""
    curves = [group for group in labels.groups if group.kind == CURVE]
    inner = [group for group in curves if "endo" in group.name.lower()]
    outer = [group for group in curves if "epi" in group.name.lower()]
    if not inner and not outer and len(curves) == 1:
        inner = curves
    if len(inner) != 1 or len(outer) > 1:
        names = ", ".join(group.name for group in curves) or "none"
        raise InputError(
            f"{path}: a mask needs one contour named endocardium, and may have one named epicardium; curves: {names} "
            "(--connect joins the points in their order)"
        )
    return labels.columns(inner[0].labels), labels.columns(outer[0].labels) if outer else []
