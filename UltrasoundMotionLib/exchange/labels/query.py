"""The points to follow, from any format of labels."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.labels import ClipReference, frame_names_of
from UltrasoundMotionLib.exchange.labels.read_write import labelled_frames, read_labels
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.files.query_points_file import QueryPoints, read_query_points


def read_points_to_track(path: Path, sequence: ImageSequence, clip_path: Path, query_frame: int | str) -> QueryPoints:
    """Reads the points of the query frame.

    Files without a frame (`label,x,y`, Slicer's markups) are taken as that frame's, see `read_query_points`; others
    must have points on it.

    Args:
        sequence: the clip, read from `clip_path`.
        query_frame: a frame, or "auto".

    Raises:
        InputError: see `read_query_points` and `read_labels`; no point on the query frame (the message names others);
            "auto" with a format that says on which frames its points lie; a point outside the image.
    """
    path = Path(path)
    if path.name.lower().endswith(".mrk.json") or not path.exists():
        return read_query_points(path, sequence)
    form = _format(path)
    if form is None:
        return read_query_points(path, sequence)
    labels = read_labels(path, form=form, clip=ClipReference(sequence, clip_path, frame_names_of(clip_path, sequence)))
    frames = labelled_frames(labels).tolist()
    listed = ", ".join(map(str, frames[:6])) + (" ..." if len(frames) > 6 else "")
    if isinstance(query_frame, str) or query_frame not in frames:
        asked = "says its own frames" if isinstance(query_frame, str) else f"has no point on frame {query_frame}"
        raise InputError(f"{path}: {asked}; it has points on {listed}: give --query-frame {frames[0]}")
    there = labels.labelled[query_frame]
    points = labels.tracks.positions_px[query_frame, there]
    names = tuple(label for label, known in zip(labels.tracks.labels, there, strict=True) if known)
    width, height = sequence.frame_size
    for label, (x, y) in zip(names, points.tolist(), strict=True):
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise InputError(
                f"{path}: point {label} at ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels"
            )
    note = f"{path}: {len(names)} points of frame {query_frame} ({form})"
    return QueryPoints(names, points, (*labels.notes, note))


def _format(path: Path) -> str | None:
    """Returns the format of a file that says on which frames its points lie; None for one that does not."""
    from UltrasoundMotionLib.exchange.labels.registry import recognise

    try:
        form = recognise(path)
    except InputError:
        return None
    return None if form.one_frame else form.name
