"""Reading and writing of labels in any format, with what is lost on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.labels import CURVE, ClipReference, Labels, PointGroup
from UltrasoundMotionLib.exchange.labels.registry import (
    LabelFormat,
    find_label_format,
    format_to_write,
    recognise,
)


def read_labels(
    path: str | Path, *, form: str | None = None, clip: ClipReference | None = None, frame: int | None = None
) -> Labels:
    """Reads labelled points of any format that is known.

    Args:
        form: name of the format; None: found by the content.
        clip: that the labels belong to; some formats cannot be read without it.
        frame: on which the points lie, where the format does not say (default 0).

    Raises:
        InputError: naming the file, the place in it and the value.
        MissingPackageError: a format that needs a package which is not installed.
    """
    path = Path(path)
    chosen = find_label_format(form) if form else recognise(path)
    return chosen.read(path, clip, frame=frame)


def write_labels(
    path: str | Path,
    labels: Labels,
    *,
    form: str | None = None,
    clip: ClipReference | None = None,
    frame: int | None = None,
) -> tuple[str, ...]:
    """Writes labelled points, and returns what the format cannot hold, one line each.

    Args:
        form: name of the format; None: found by the file's name.
        clip: that the labels belong to; some formats cannot be written without it.
        frame: the one to write.

    Raises:
        InputError: labels that the format cannot hold, with the reason; nothing is written.
        OutputError: the file cannot be written; nothing is left under its name.
    """
    path = Path(path)
    chosen = find_label_format(form) if form else format_to_write(path)
    if frame is not None:
        labels = _only(labels, frame)
    if chosen.one_frame:
        frames = np.flatnonzero(labels.labelled.any(axis=1))
        if len(frames) > 1:
            raise InputError(
                f"{path}: {chosen.name} holds the points of one frame, and {len(frames)} frames are labelled "
                f"({_listed(frames)}); choose one with --frame"
            )
    losses = _losses(labels, chosen)
    return (*losses, *chosen.write(path, labels, clip))


def as_one_curve(labels: Labels) -> Labels:
    """Returns the labels with their single points joined, in order, as one curve."""
    single = labels.single_labels
    if not single:
        return labels
    taken = {group.name for group in labels.groups}
    name = next(name for name in ("contour", *(f"contour-{n}" for n in range(2, len(taken) + 3))) if name not in taken)
    return replace(labels, groups=(*labels.groups, PointGroup(name, single, CURVE)))


def _only(labels: Labels, frame: int) -> Labels:
    """Returns the labels of one frame; the others are empty."""
    tracks = labels.tracks
    count = len(tracks.positions_px)
    if not 0 <= frame < count:
        raise InputError(f"--frame: frame {frame} does not exist; there are {count} (0 to {count - 1})")
    if not labels.labelled[frame].any():
        others = _listed(labelled_frames(labels))
        raise InputError(f"--frame: frame {frame} has no labelled point; these have: {others}")
    kept = np.zeros(count, dtype=bool)
    kept[frame] = True
    positions = np.where(kept[:, None, None], tracks.positions_px, np.nan)
    confidence, visible = np.where(kept[:, None], tracks.confidence, 0), tracks.visible & kept[:, None]
    kept_tracks = replace(tracks, positions_px=positions, confidence=confidence, visible=visible, query_frame=frame)
    return replace(labels, tracks=kept_tracks)


def labelled_frames(labels: Labels) -> np.ndarray:
    """Returns the numbers of the frames with at least one position."""
    return np.flatnonzero(labels.labelled.any(axis=1))


def _listed(frames: np.ndarray) -> str:
    shown = ", ".join(map(str, frames[:6].tolist()))
    return f"{shown} ..." if len(frames) > 6 else shown


def _losses(labels: Labels, form: LabelFormat) -> list[str]:
    tracks, there = labels.tracks, labels.labelled
    hidden = int((there & ~tracks.visible).sum())
    grouped = [group.name for group in labels.groups]
    lost = {
        "confidence": "the confidence of the positions" if np.any(tracks.confidence[there] < 1) else "",
        "visible": f"that {hidden} of {int(there.sum())} positions are not visible" if hidden else "",
        "times": "the frame times" if tracks.times_s is not None else "",
        "tracker": f"the tracker or observer ({tracks.model})" if tracks.model not in ("", "annotation") else "",
        "names": "the points' names",
        "groups": f"which points belong together ({', '.join(grouped[:4])})" if grouped else "",
    }
    return [f"{form.name} does not hold {text}" for what, text in lost.items() if text and what not in form.keeps]
