"""Lines on lung ultrasound as the SlicerUltrasound extension's Annotate Ultrasound keeps them (.json): the pleura and
B-lines, each by a rater, on frames of a DICOM clip.

Schema: SlicerUltrasound's `AnnotateUltrasound/annotations.schema.json`; its `convert_ras_to_lps` writes LPS mm, older
files without `coordinate_space` are RAS. Points are control points of markups on the clip as Slicer shows it: a pixel's
index is its centre. `frame_number` is the index of the frame in Slicer's sequence, from 0.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.labels import CURVE, ClipReference, LabelCollector, Labels, numbered
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format, members
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import is_dicom
from UltrasoundMotionLib.input_files import read_json_file
from UltrasoundMotionLib.json_output import write_json
from UltrasoundMotionLib.tracking.files.query_points_file import FARTHEST_FROM_PLANE_MM

LISTS = {"pleura_lines": "pleura", "b_lines": "b-line"}
_SIGNS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}


@label_format
class SlicerUltrasound(LabelFormat):
    """Annotations of SlicerUltrasound."""

    name = "slicer-ultrasound"
    summary = "SlicerUltrasound's Annotate Ultrasound (.json): pleura lines and B-lines"
    origin = "mm in space (LPS, or RAS in older files); through the clip's own position, orientation and spacing"
    endings = (".json",)
    keeps = frozenset({"groups"})
    rank = 45

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for the two names that the schema requires."""
        return {"SOPInstanceUID", "frame_annotations"} <= file.json_keys

    def takes_name(self, name: str) -> bool:
        """Returns True for .json but for Slicer's markups."""
        return name.endswith(".json") and not name.endswith(".mrk.json")

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads each line as a curve; those of one kind and rater on a frame are told apart by their order."""
        if clip is None:
            raise InputError(f"{path}: its lines are in mm and need their DICOM clip: `convert --image CLIP`")
        content = members(read_json_file(path), dict, path, "the file")
        given, expected = content.get("SOPInstanceUID"), _instance_uid(clip)
        if expected and given != expected:
            raise InputError(f"{path}: belongs to the DICOM instance {given}, {clip.path} is {expected}")
        collector = LabelCollector(path)
        frames = members(content.get("frame_annotations"), list, path, "frame_annotations")
        raters = {
            str(line.get("rater", ""))
            for one in frames
            if isinstance(one, dict)
            for name in LISTS
            for line in one.get(name) or []
            if isinstance(line, dict)
        }
        for number, one in enumerate(frames):
            entry = members(one, dict, path, f"frame_annotations: entry {number}")
            self._read_frame(collector, path, clip, entry, number, several=len(raters) > 1)
        notes = [] if expected else [f"{path}: {clip.path} is no DICOM file, so whether it is the right one is unknown"]
        if clip.sequence.spacing_mm is None:
            notes.append(f"{path}: the image's pixel size is unknown, so one mm of the lines counts as one pixel")
        return collector.finish(clip, clip_name=clip.name, notes=notes)

    def _read_frame(
        self, collector: LabelCollector, path: Path, clip: ClipReference, entry: dict, number: int, *, several: bool
    ) -> None:
        text = str(entry.get("frame_number", ""))
        if not text.isdecimal():
            raise InputError(f"{path}: entry {number}: frame_number is {text!r}, expected a whole number from 0")
        frame, system = int(text), entry.get("coordinate_space", "RAS")
        if system not in _SIGNS:
            raise InputError(f"{path}: frame {frame}: coordinate_space is {system!r}, expected LPS or RAS")
        counts: Counter[str] = Counter()
        for name, kind in LISTS.items():
            for line in members(entry.get(name, []), list, path, f"frame {frame}: {name}"):
                rater = str(line.get("rater", "")) if isinstance(line, dict) else ""
                prefix = f"{rater} {kind}" if several else kind
                counts[prefix] += 1
                where = f"frame {frame}: {name}: line {counts[prefix]}"
                points = _positions(path, where, line) * _SIGNS[system]
                across = (points - np.asarray(clip.sequence.origin_mm)) @ clip.sequence.direction[:, 2]
                distance = float(np.abs(across).max())
                if distance > FARTHEST_FROM_PLANE_MM:
                    raise InputError(f"{path}: {where}: lies {distance:.1f} mm from the plane of {clip.path}")
                group = f"{prefix}-{counts[prefix]}"
                labels = numbered(group, len(points))
                collector.group(group, labels, kind=CURVE, observer=rater)
                for label, (x, y) in zip(labels, clip.sequence.lps_mm_to_pixels(points).tolist(), strict=True):
                    collector.add(where, frame, label, (x, y))

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes the curves named pleura... and b-line..."""
        uid = _instance_uid(clip) if clip is not None else ""
        if clip is None or not uid:
            raise InputError(f"{path}: SlicerUltrasound names the DICOM instance; name the DICOM file with --image")
        if clip.sequence.spacing_mm is None:
            raise InputError(f"{path}: SlicerUltrasound is in mm, and the pixel size of {clip.path} is unknown")
        curves = {group.name: _list_of(group.name) for group in labels.groups if group.kind == CURVE}
        other = [name for name, kind in curves.items() if not kind]
        if not any(curves.values()):
            found = f"curves: {', '.join(other)}" if other else "there is no curve"
            raise InputError(f"{path}: SlicerUltrasound holds curves named pleura... or b-line... only; {found}")
        lost = {group.name for group in labels.groups if not curves.get(group.name)} | set(labels.single_labels)
        frames: list[dict] = []
        for frame, there in enumerate(labels.labelled):
            entry: dict[str, Any] = {"frame_number": frame, "coordinate_space": "LPS"} | {name: [] for name in LISTS}
            for group in labels.groups:
                columns = [column for column in labels.columns(group.labels) if there[column]]
                kind = curves.get(group.name)
                if not kind or len(columns) < 2:
                    continue
                points = clip.sequence.pixels_to_lps_mm(labels.tracks.positions_px[frame, columns])
                rater = group.observer or labels.tracks.model
                entry[kind].append({"rater": rater, "line": {"points": points.tolist()}})
            if entry["pleura_lines"] or entry["b_lines"]:
                frames.append(entry)
        width, height = clip.sequence.frame_size
        sizes = {"image_size_rows": height, "image_size_cols": width}
        write_json(path, {"SOPInstanceUID": uid, **sizes, "labels": [], "frame_annotations": frames})
        return [f"slicer-ultrasound holds no {', '.join(sorted(lost)[:4])}"] if lost else []


def _list_of(name: str) -> str:
    """Returns the list to which a curve of this name belongs, or nothing."""
    plain = name.lower().replace("_", "-")
    return next((kind for kind, word in LISTS.items() if word in plain), "")


def _positions(path: Path, where: str, line: Any) -> np.ndarray:
    held = line.get("line") if isinstance(line, dict) else None
    points = held.get("points") if isinstance(held, dict) else None
    try:
        numbers = np.array(points, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.ndim != 2 or numbers.shape[1:] != (3,) or not len(numbers) or not np.all(np.isfinite(numbers)):
        raise InputError(f"{path}: {where}: expected points of three numbers in mm")
    return numbers


def _instance_uid(clip: ClipReference) -> str:
    """Returns the SOP Instance UID of a DICOM file; empty for other clips."""
    import pydicom

    if clip.path.is_dir() or not is_dicom(clip.path):
        return ""
    return str(pydicom.dcmread(clip.path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
