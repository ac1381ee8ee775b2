"""EchoNet-Dynamic's `VolumeTracings.csv`: the left ventricle traced as a long axis and chords across it, on two frames.

Format: `echonet/datasets/echo.py` of EchoNet's own code, which draws the mask of rounded coordinates as pixel indices
(`skimage.draw.polygon(rint(y), rint(x))`): the centre of the first pixel is (0, 0). `Frame` counts from 0, as the index
into the video.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.chords import chords_of_curve, curve_of_chords
from UltrasoundMotionLib.exchange.labels.labels import (
    CURVE,
    SKELETON,
    ClipReference,
    LabelCollector,
    Labels,
    PointGroup,
    numbered,
)
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format
from UltrasoundMotionLib.input_files import read_text_file

COLUMNS = ("FileName", "X1", "Y1", "X2", "Y2", "Frame")
CONTOUR, AXIS = "endocardium", "long axis"


def read_tracings(path: Path) -> dict[str, dict[int, np.ndarray]]:
    """Returns chords (C + 1, 4) for each frame of each video (named without ending), in the order of the table.

    Raises:
        InputError: a line without the six values; the line is named.
    """
    traced: dict[str, dict[int, list[list[float]]]] = {}
    for line, values in enumerate(csv.DictReader(read_text_file(path, encoding="utf-8-sig").splitlines()), start=2):
        try:
            chord = [float(values[name]) for name in ("X1", "Y1", "X2", "Y2")]
            frame = int(values["Frame"])
            if frame < 0 or not np.all(np.isfinite(chord)):
                raise ValueError
            traced.setdefault(Path(values["FileName"]).stem, {}).setdefault(frame, []).append(chord)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: line {line}: expected FileName,X1,Y1,X2,Y2,Frame") from error
    return {case: {frame: np.array(rows) for frame, rows in frames.items()} for case, frames in traced.items()}


@label_format
class EchoNet(LabelFormat):
    """Tracings of EchoNet-Dynamic."""

    name = "echonet"
    summary = "EchoNet-Dynamic's VolumeTracings.csv, one ventricle"
    origin = "pixels, the centre of the first pixel is (0, 0)"
    endings = ("volumetracings.csv",)
    rank = 15

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for the table's columns."""
        return set(COLUMNS) <= {name.strip() for name in file.first_line.split(",")}

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads the tracings of one video: the clip's, or the only one."""
        traced = read_tracings(path)
        name = _choose(path, traced, clip)
        collector = LabelCollector(path)
        for number, chords in sorted(traced[name].items()):
            where = f"{name}, frame {number}"
            try:
                curve = curve_of_chords(chords)
            except InputError as error:
                raise InputError(f"{path}: {where}: {error}") from error
            labels = numbered(CONTOUR, len(curve))
            collector.group(CONTOUR, labels, kind=CURVE)
            for label, (x, y) in zip(labels, curve.tolist(), strict=True):
                collector.add(where, number, label, (x, y))
            ends = numbered(AXIS, 2)
            collector.group(AXIS, ends, kind=SKELETON)
            for label, (x, y) in zip(ends, chords[0].reshape(2, 2).tolist(), strict=True):
                collector.add(where, number, label, (x, y))
        return collector.finish(clip, clip_name=name)

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes the frames on which a contour from base over apex to base has all its points."""
        name = labels.clip or (clip.name if clip else "")
        if not name:
            raise InputError(f"{path}: EchoNet's table names the video; name the clip with --image")
        group = _contour(path, labels)
        columns = labels.columns(group.labels)
        axis = next((one for one in labels.groups if one.name == AXIS and len(one.labels) == 2), None)
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        partly = written = 0
        for frame, there in enumerate(labels.labelled):
            count = int(there[columns].sum())
            if not count or not there[columns[:count]].all():
                partly += count > 0
                continue
            curve = labels.tracks.positions_px[frame, columns[:count]]
            ends = None
            if axis is not None and there[labels.columns(axis.labels)].all() and count % 2 == 0:
                ends = labels.tracks.positions_px[frame, labels.columns(axis.labels)]
            try:
                chords = chords_of_curve(curve, ends)
            except InputError as error:
                raise InputError(f"{path}: {group.name} on frame {frame}: {error}") from error
            written += 1
            for chord in chords:
                writer.writerow([f"{name}.avi", *(f"{value:.6f}" for value in chord), frame])
        if not written:
            raise InputError(f"{path}: {group.name} has all its points on no frame")
        write_text_file(path, stream.getvalue())
        kept = {*group.labels, *(axis.labels if axis else ())}
        others = [label for label in labels.tracks.labels if label not in kept]
        lost = [] if axis is not None else [f"echonet holds {group.name} as 20 chords across its long axis"]
        if others:
            lost.append(f"echonet holds no other points than the contour's ({', '.join(others[:4])})")
        if partly:
            lost.append(f"{group.name} is left out on {partly} frames, where points are missing")
        return lost


def _choose(path: Path, traced: Mapping[str, object], clip: ClipReference | None) -> str:
    if clip is not None:
        if clip.name not in traced:
            raise InputError(f"{path}: has no tracing of {clip.name}; it has those of {len(traced)} videos")
        return clip.name
    if len(traced) != 1:
        names = ", ".join(list(traced)[:3])
        raise InputError(f"{path}: holds tracings of {len(traced)} videos ({names} ...); name one clip with --image")
    return next(iter(traced))


def _contour(path: Path, labels: Labels) -> PointGroup:
    curves = [group for group in labels.groups if group.kind == CURVE]
    named = [group for group in curves if "endo" in group.name.lower()]
    if len(named or curves) != 1:
        found = f"{len(curves)} curves" if curves else "single points"
        raise InputError(
            f"{path}: EchoNet holds one contour of the ventricle, from base over apex to base, and there are {found}; "
            "--connect joins the points in their order"
        )
    return (named or curves)[0]
