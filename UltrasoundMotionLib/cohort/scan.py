"""Manifests of folders in known layouts: ACDC, EchoNet, CAMUS, CLUST, BIDS-like, or any folder of clips with points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.labels.chords import contour_of_chords
from UltrasoundMotionLib.input_files import read_text_file
from UltrasoundMotionLib.tracking.files.query_points_file import write_query_points

Row = dict[str, str]
Found = Iterator[Row]
_CLIPS = (".mp4", ".avi", ".mov", ".dcm", ".seq.nrrd", ".nrrd", ".mha", ".nii.gz", ".nii")
_POINTS = (".points.csv", "_points.csv", ".mrk.json")
_VOLUMES = (".nii.gz", ".nii")


class PointsFolder:
    """The folder `points` beside a manifest, into which the points of cases are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, case: str, points_px: np.ndarray, labels: list[str] | None = None) -> str:
        """Writes points (N, 2) as `label,x,y`, and returns the file's path.

        Raises:
            OutputError: the folder cannot be written to.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be made: {error.strerror or error}") from error
        names = labels or [f"W{number:02d}" for number in range(1, len(points_px) + 1)]
        path = self._folder / f"{case}.csv"
        write_query_points(path, names, points_px.round(3))
        return str(path)


def scan_folder(folder: str | Path, points: PointsFolder) -> tuple[str, list[Row], list[str]]:
    """Finds the cases of a folder.

    Args:
        points: where points go that the layout keeps in another form.

    Returns:
        The layout's name, the rows of a manifest with absolute paths, and a line for each case that was left out.

    Raises:
        InputError: no such folder, or nothing in it that is known.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    for name, find in LAYOUTS.items():
        left_out: list[str] = []
        rows = list(find(folder, points, left_out))
        if rows:
            return name, rows, left_out
    clips = sorted(one.name for one in folder.iterdir() if one.name.lower().endswith(_CLIPS))
    if clips:
        raise InputError(
            f"{folder}: {len(clips)} clips, but no points beside them; {clips[0]} needs {_stem(clips[0])}_points.csv"
            " (label,x,y in pixels)"
        )
    raise InputError(
        f"{folder}: no layout that is known ({', '.join(LAYOUTS)}); write the manifest yourself: columns case, verb, "
        "input, points ..."
    )


def _acdc(folder: Path, points: PointsFolder, left_out: list[str]) -> Found:
    """Yields end-systole onto end-diastole of each patient; `Info.cfg` says which frames these are."""
    for info in sorted(folder.glob("**/patient*/Info.cfg")):
        patient, values = info.parent, _configuration(info)
        try:
            diastole, systole = (f"{patient.name}_frame{int(values[name]):02d}" for name in ("ED", "ES"))
        except (KeyError, ValueError):
            left_out.append(f"{patient.name}: {info.name} has no frame numbers ED and ES")
            continue
        fixed, moving = _volume(patient, diastole), _volume(patient, systole)
        if fixed is None or moving is None:
            left_out.append(f"{patient.name}: no image of frame {diastole if fixed is None else systole}")
            continue
        row = {"case": patient.name, "verb": "register", "fixed": str(fixed), "moving": str(moving)}
        labels = _volume(patient, f"{diastole}_gt"), _volume(patient, f"{systole}_gt")
        if labels[0] is not None and labels[1] is not None:
            row |= {"fixed_labels": str(labels[0]), "moving_labels": str(labels[1])}
        yield row


def _echonet(folder: Path, points: PointsFolder, left_out: list[str]) -> Found:
    """Yields each video with a traced ventricle, its contour on the first traced frame."""
    from UltrasoundMotionLib.exchange.labels.formats.echonet import read_tracings

    table = folder / "VolumeTracings.csv"
    if not table.is_file():
        return
    traced = read_tracings(table)
    for case, frames in sorted(traced.items()):
        video = next((path for path in sorted(folder.glob(f"**/{case}.*")) if path.suffix in (".avi", ".mp4")), None)
        if video is None:
            left_out.append(f"{case}: no video")
            continue
        frame = min(frames)
        try:
            contour = contour_of_chords(frames[frame])
        except InputError as error:
            left_out.append(f"{case}: {error}")
            continue
        yield {
            "case": case,
            "input": str(video),
            "points": points.write(case, contour),
            "query_frame": str(frame),
            "model": "lucas-kanade-wall",
        }


def _camus(folder: Path, points: PointsFolder, left_out: list[str]) -> Found:
    """Yields each half sequence with the inner border of its first mask: labels 1 (cavity) and 2 (muscle)."""
    from UltrasoundMotionLib.exchange.labels.formats.camus import CAVITY, MUSCLE, read_masks
    from UltrasoundMotionLib.exchange.labels.mask_contours import contour_of_cavity

    for masks in sorted(folder.glob("**/patient*_half_sequence_gt.nii*")):
        case = masks.name.split("_half_sequence")[0]
        clip = _volume(masks.parent, f"{case}_half_sequence")
        if clip is None:
            left_out.append(f"{case}: no half sequence beside its masks")
            continue
        try:
            contour = contour_of_cavity(read_masks(masks)[0][0], cavity=CAVITY, muscle=MUSCLE)
        except InputError as error:
            left_out.append(f"{case}: {error}")
            continue
        yield {
            "case": case,
            "input": str(clip),
            "points": points.write(case, contour),
            "model": "lucas-kanade-wall",
        }


def _clust(folder: Path, points: PointsFolder, left_out: list[str]) -> Found:
    """Yields each sequence from its landmarks' first annotations; those that begin together are one case."""
    from UltrasoundMotionLib.evaluation.clust_set import clust_sequences

    try:
        sequences = clust_sequences(folder)
    except InputError:
        return
    for sequence in sequences:
        truth = sequence.annotations()
        first = truth.visible.argmax(axis=0)
        for frame in np.unique(first).tolist():
            chosen = np.flatnonzero(first == frame)
            case = sequence.name if frame == first.min() else f"{sequence.name}-from-{frame + 1}"
            labels = [truth.labels[index] for index in chosen]
            row = {
                "case": case,
                "input": str(sequence.folder),
                "points": points.write(case, truth.positions_px[frame, chosen], labels),
                "query_frame": str(frame),
                "direction": "forward",
            }
            if sequence.spacing_mm is not None:
                row["spacing_mm"] = " ".join(f"{size:g}" for size in sequence.spacing_mm)
            yield row


def _bids(folder: Path, points: PointsFolder, left_out: list[str]) -> Found:
    """Yields each clip of `sub-*/` that has points of its name beside it."""
    for path in sorted(folder.glob("sub-*/**/*_points.csv")):
        yield from _beside(path, path.name.removesuffix("_points.csv"), left_out)


def _flat(folder: Path, points: PointsFolder, left_out: list[str]) -> Found:
    """Yields each clip of a folder that has points of its name beside it."""
    for path in sorted(one for one in folder.iterdir() if one.name.endswith(_POINTS)):
        ending = next(ending for ending in _POINTS if path.name.endswith(ending))
        yield from _beside(path, path.name.removesuffix(ending), left_out)


def _beside(points: Path, stem: str, left_out: list[str]) -> Found:
    for name in (f"{stem}{middle}{ending}" for middle in ("", "_us") for ending in _CLIPS):
        if (points.parent / name).is_file():
            yield {"case": stem, "input": str(points.parent / name), "points": str(points)}
            return
    left_out.append(f"{stem}: points, but no clip of that name beside them")


def _stem(clip: str) -> str:
    return next(
        clip[: -len(ending)] for ending in sorted(_CLIPS, key=len, reverse=True) if clip.lower().endswith(ending)
    )


def _volume(folder: Path, name: str) -> Path | None:
    return next((folder / f"{name}{ending}" for ending in _VOLUMES if (folder / f"{name}{ending}").is_file()), None)


def _configuration(path: Path) -> dict[str, str]:
    """Returns the values of a file with lines of `name: value`."""
    pairs = (line.split(":", 1) for line in read_text_file(path).splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


LAYOUTS: dict[str, Callable[[Path, PointsFolder, list[str]], Found]] = {
    "ACDC": _acdc,
    "EchoNet": _echonet,
    "CAMUS": _camus,
    "CLUST": _clust,
    "BIDS-like": _bids,
    "clips with points beside them": _flat,
}
