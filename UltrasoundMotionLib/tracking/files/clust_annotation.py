"""The text files of CLUST, the Challenge on Liver Ultrasound Tracking (De Luca et al., Medical Physics 2018):
annotations and submitted tracks.

One file per landmark, one line `frame x y` per annotated frame; frames count from 1, coordinates are pixels.
A sequence's files lie together (`ETH-01-1/Annotation/ETH-01-1_1.txt`), its images beside them
(`ETH-01-1/Data/00001.png`). The landmark's label is the file's name without its ending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.input_files import read_text_file
from UltrasoundMotionLib.tracking.files.table_lines import check_table_size
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_LARGEST_FRAME = 10_000_000


@dataclass(frozen=True)
class ClustAnnotation:
    """Annotation of one landmark: frames (K,) int64, strictly increasing, counted from 0; positions_px (K, 2) float64,
    (x, y) as stored.
    """

    label: str
    frames: np.ndarray
    positions_px: np.ndarray


def read_clust_annotation(path: str | Path) -> ClustAnnotation:
    """Reads one landmark's file. The challenge's coordinates are taken as ours, the first pixel's centre at 0: its
    rules do not say otherwise.

    Raises:
        InputError: the file is missing, empty or not text; a line is not three finite numbers, the first a whole number
            from 1 on; or the frames are not in increasing order. The message names the file, the line and the value.
    """
    path = Path(path)
    lines = read_text_file(path, encoding="utf-8-sig").splitlines()
    frames: list[int] = []
    positions: list[tuple[float, float]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        frame, x, y = _parse_line(path, number, line)
        if frames and frame <= frames[-1]:
            raise InputError(
                f"{path}: line {number}: frame {frame + 1} comes after frame {frames[-1] + 1}; frames must increase"
            )
        frames.append(frame)
        positions.append((x, y))
    if not frames:
        raise InputError(f"{path}: holds no annotation; expected lines of `frame x y`")
    return ClustAnnotation(path.stem, np.array(frames, dtype=np.int64), np.array(positions, dtype=np.float64))


def _parse_line(path: Path, number: int, line: str) -> tuple[int, float, float]:
    """(frame from 0, x, y)."""
    words = line.replace(",", " ").split()
    try:
        frame, x, y = (float(word.replace("_", "?")) for word in words)  # 1_0 is Python's own notation
    except ValueError as error:
        raise InputError(
            f"{path}: line {number}: expected three numbers `frame x y`, got {line.strip()[:60]!r}"
        ) from error
    if not np.all(np.isfinite([frame, x, y])):
        raise InputError(f"{path}: line {number}: {line.strip()!r} is not finite")
    if not 1 <= frame <= _LARGEST_FRAME or frame != int(frame):
        raise InputError(f"{path}: line {number}: frame {words[0]} must be a whole number from 1 on")
    return int(frame) - 1, x, y


def clust_files(folder: str | Path) -> tuple[Path, ...]:
    """The annotation files of one sequence, by name: `folder/*.txt`, or `folder/Annotation/*.txt` where that exists.

    Raises:
        InputError: the folder does not exist or holds no .txt file.
    """
    folder = Path(folder)
    inner = folder / "Annotation"
    searched = inner if inner.is_dir() else folder
    found = tuple(sorted(searched.glob("*.txt")))
    if not found:
        raise InputError(
            f"{searched}: holds no .txt annotation" if searched.is_dir() else f"{searched}: the folder does not exist"
        )
    return found


def read_clust_tracks(
    paths: str | Path | Sequence[str | Path],
    *,
    frame_count: int | None = None,
    spacing_mm: tuple[float, float] | None = None,
) -> PointTracks:
    """Reads the landmarks of one sequence, given its folder or its files, as sparse tracks: NaN and not visible where
    there is no annotation.

    Args:
        frame_count: frames of the sequence; default as many as the last annotation needs.

    The query frame is the first annotated one.

    Raises:
        InputError: see `read_clust_annotation`; an annotation beyond the last frame; two files of the same name.
    """
    if isinstance(paths, str | Path):
        paths = clust_files(paths) if Path(paths).is_dir() else (paths,)
    files = [Path(path) for path in paths]
    annotations = [read_clust_annotation(path) for path in files]
    needed = max(int(annotation.frames[-1]) for annotation in annotations) + 1
    count = needed if frame_count is None else frame_count
    for path, annotation in zip(files, annotations, strict=True):
        if annotation.frames[-1] >= count:
            raise InputError(f"{path}: frame {annotation.frames[-1] + 1} is annotated, the sequence has {count} frames")
    check_table_size(files[0], count, len(annotations), sum(len(one.frames) for one in annotations))
    positions = np.full((count, len(annotations), 2), np.nan)
    for point, annotation in enumerate(annotations):
        positions[annotation.frames, point] = annotation.positions_px
    annotated = np.all(np.isfinite(positions), axis=2)
    return PointTracks(
        positions_px=positions,
        confidence=annotated.astype(np.float64),
        visible=annotated,
        labels=tuple(annotation.label for annotation in annotations),
        query_frame=min(int(annotation.frames[0]) for annotation in annotations),
        spacing_mm=spacing_mm,
        model="annotation",
    )


def write_clust_tracks(folder: str | Path, tracks: PointTracks) -> tuple[Path, ...]:
    """Writes one `label.txt` per point, as the challenge's annotations and results: `frame x y` for each frame with a
    position, to 1/1000 px.

    Raises:
        InputError: a label that cannot be a file name, or a point without any position.
        OutputError: the folder cannot be written to.
    """
    folder = Path(folder)
    for label, reached in zip(tracks.labels, np.all(np.isfinite(tracks.positions_px), axis=2).T, strict=True):
        if not label or label in {".", ".."} or any(character in label for character in '/\\:*?"<>|'):
            raise InputError(f"label {label!r} cannot be the name of a file")
        if not reached.any():
            raise InputError(f"point {label} has no position to write")
    written = []
    for point, label in enumerate(tracks.labels):
        path = folder / f"{label}.txt"
        frames = np.flatnonzero(np.all(np.isfinite(tracks.positions_px[:, point]), axis=1))
        rows = (
            f"{frame + 1} {tracks.positions_px[frame, point, 0]:.3f} {tracks.positions_px[frame, point, 1]:.3f}\n"
            for frame in frames
        )
        write_text_file(path, "".join(rows))
        written.append(path)
    return tuple(written)
