"""CVAT's XML 1.1, for images and for video: points, polylines, polygons and skeletons.

Format: https://docs.cvat.ai/docs/manual/advanced/xml_format/, and CVAT's own reader and writer,
`cvat/apps/dataset_manager/formats/cvat.py`. Coordinates are continuous, from the outer corner of the first pixel: CVAT
keeps them in 0 to width (`fitPoints` of `cvat-core`), so the centre of the first pixel is (0.5, 0.5). `occluded` points
have a position that cannot be seen, `outside` points have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.cvat_shapes import (
    HALF_PIXEL,
    KINDS,
    collect_shape,
    picture_size,
    points_of,
    read_root,
    shapes_of_images,
    shapes_of_tracks,
    task_size,
    whole_number,
)
from UltrasoundMotionLib.exchange.labels.labels import (
    CLOSED,
    CURVE,
    SKELETON,
    ClipReference,
    LabelCollector,
    Labels,
    PointGroup,
    numbered,
)
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format

_TAGS = {CURVE: "polyline", CLOSED: "polygon"}


class _Cvat(LabelFormat):
    """Reads both kinds of XML."""

    origin = "pixels, the outer corner of the first pixel is (0, 0): half a pixel is subtracted"
    endings = (".xml",)
    keeps = frozenset({"visible", "names", "groups"})

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads the shapes of one task; boxes, masks, ellipses and tags are passed over, with a note."""
        root = read_root(path)
        images = root.findall("image")
        notes: list[str] = []
        shapes = list(shapes_of_tracks(path, root)) + list(shapes_of_images(path, images, clip, notes))
        collector = LabelCollector(path)
        counts: Counter[str] = Counter()
        for shape in shapes:
            counts[shape.name] = max(counts[shape.name], len(points_of(path, shape)))
        parts = {(shape.name, part.get("label", "")) for shape in shapes for part in shape.element.findall("points")}
        names = Counter(label for _, label in parts)
        for shape in shapes:
            collect_shape(collector, path, shape, counts[shape.name], names)
        parents = (*images, *root.findall("track"))
        other = Counter(one.tag for parent in parents for one in parent if one.tag not in KINDS)
        if other:
            listed = ", ".join(f"{count} {tag}" for tag, count in sorted(other.items()))
            notes.append(f"{path}: {listed} are no points and are passed over")
        between = sum(shape.element.get("keyframe") == "0" for shape in shapes)
        if between:
            notes.append(f"{path}: {between} of {len(shapes)} shapes are interpolated by CVAT (keyframe 0)")
        files = {whole_number(path, one, "id"): one.get("name", "") for one in images}
        return collector.finish(
            clip,
            frame_count=task_size(root),
            frame_names=tuple(files.get(number, "") for number in range(max(files) + 1)) if files else (),
            frame_size=picture_size(root, images),
            notes=notes,
        )


@label_format
class CvatVideo(_Cvat):
    """CVAT for video 1.1: a track for each object."""

    name = "cvat"
    summary = "CVAT for video 1.1 (.xml)"
    rank = 60

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for CVAT's XML with tracks."""
        return _is_cvat(file) and "<image" not in file.head

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes a track for each point, polyline, polygon and skeleton."""
        size = labels.frame_size or (clip.sequence.frame_size if clip else None)
        root = _document(labels, size, "interpolation")
        number = 0
        lost: list[str] = []
        for label in labels.single_labels:
            track = Xml.SubElement(root, "track", id=str(number), label=label, source="file")
            number += 1
            column = labels.columns([label])
            for frame, shown in _lasting(labels.labelled[:, column[0]]):
                _add_points(track, (labels, frame, column), shown, {"frame": str(frame)})
        for group in labels.groups:
            track = Xml.SubElement(root, "track", id=str(number), label=group.name, source="file")
            number += 1
            if group.kind == SKELETON:
                _skeleton_track(track, labels, group)
                continue
            columns = labels.columns(group.labels)
            counts, gaps = _drawn(labels, group)
            lost += gaps
            for frame, shown in _lasting(np.array(counts) > 0):
                drawn = columns[: counts[frame if shown else frame - 1]]
                _add_points(track, (labels, frame, drawn), shown, {"frame": str(frame)}, _TAGS[group.kind])
        _write(path, root)
        return [*lost, *_names_lost(self.name, labels)]


@label_format
class CvatImages(_Cvat):
    """CVAT for images 1.1: shapes for each picture."""

    name = "cvat-images"
    summary = "CVAT for images 1.1 (.xml)"
    rank = 61

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for CVAT's XML with images."""
        return _is_cvat(file) and "<image" in file.head

    def takes_name(self, name: str) -> bool:
        """Returns False: a .xml file is written for video unless `--to cvat-images` is given."""
        return False

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes the shapes of each labelled frame; CVAT finds its pictures by their names."""
        size = labels.frame_size or (clip.sequence.frame_size if clip else None)
        names = (clip.frame_names if clip else ()) or labels.frame_names
        if size is None or not any(names):
            raise InputError(
                f"{path}: CVAT for images needs the names and the size of the pictures; name their folder with "
                "--image, or write CVAT for video with --to cvat"
            )
        root = _document(labels, size, "annotation")
        lost: list[str] = []
        counts = {}
        for group in labels.groups:
            if group.kind != SKELETON:
                counts[group.name], gaps = _drawn(labels, group)
                lost += gaps
        for frame in np.flatnonzero(labels.labelled.any(axis=1)).tolist():
            if frame >= len(names) or not names[frame]:
                raise InputError(f"{path}: frame {frame} has no file name; name the folder of pictures with --image")
            image = Xml.SubElement(
                root, "image", id=str(frame), name=names[frame], width=str(size[0]), height=str(size[1])
            )
            for label in labels.single_labels:
                column = labels.columns([label])
                if labels.labelled[frame, column].all():
                    _add_points(image, (labels, frame, column), None, {"label": label, "source": "file"})
            for group in labels.groups:
                columns = labels.columns(group.labels)
                if group.kind == SKELETON:
                    if labels.labelled[frame, columns].any():
                        skeleton = Xml.SubElement(image, "skeleton", label=group.name, source="file", z_order="0")
                        _add_elements(skeleton, labels, group, frame, keyframe=False)
                elif counts[group.name][frame]:
                    tag, drawn = _TAGS[group.kind], columns[: counts[group.name][frame]]
                    _add_points(image, (labels, frame, drawn), None, {"label": group.name, "source": "file"}, tag)
        _write(path, root)
        return [*lost, *_names_lost(self.name, labels)]


def _is_cvat(file: LabelFile) -> bool:
    return file.name.endswith(".xml") and "<annotations" in file.head


def _document(labels: Labels, size: tuple[int, int] | None, mode: str) -> Xml.Element:
    root = Xml.Element("annotations")
    Xml.SubElement(root, "version").text = "1.1"
    task = Xml.SubElement(Xml.SubElement(root, "meta"), "task")
    Xml.SubElement(task, "size").text = str(len(labels.tracks.positions_px))
    Xml.SubElement(task, "mode").text = mode
    named = Xml.SubElement(task, "labels")
    for name in (*labels.single_labels, *(group.name for group in labels.groups)):
        Xml.SubElement(Xml.SubElement(named, "label"), "name").text = name
    if size is not None:
        original = Xml.SubElement(task, "original_size")
        Xml.SubElement(original, "width").text, Xml.SubElement(original, "height").text = map(str, size)
    return root


def _lasting(there: np.ndarray) -> Iterator[tuple[int, bool]]:
    """Yields (frame, shown) for each frame with a shape, and for the first without one after it: `outside`."""
    before = False
    for frame, now in enumerate(there.tolist()):
        if now or before:
            yield frame, now
        before = now


def _add_points(
    parent: Xml.Element,
    place: tuple[Labels, int, list[int]],
    shown: bool | None,
    attributes: dict[str, str],
    tag: str = "points",
) -> None:
    """Adds a shape of the labels on a frame, in columns of its tracks.

    Args:
        shown: that of a track (False: outside, at the last position), None for a picture's shape.
    """
    labels, frame, columns = place
    source = frame if shown is not False else frame - 1
    positions = labels.tracks.positions_px[source, columns] + HALF_PIXEL
    visible = bool(labels.tracks.visible[source, columns].all())
    values = dict(attributes)
    if shown is not None:
        values |= {"keyframe": "1", "outside": str(int(not shown))}
    values |= {
        "occluded": str(int(not visible)),
        "points": ";".join(f"{x:.4f},{y:.4f}" for x, y in positions),
        "z_order": "0",
    }
    Xml.SubElement(parent, tag, values)


def _skeleton_track(track: Xml.Element, labels: Labels, group: PointGroup) -> None:
    columns = labels.columns(group.labels)
    for frame, shown in _lasting(np.asarray(labels.labelled[:, columns].any(axis=1))):
        skeleton = Xml.SubElement(track, "skeleton", frame=str(frame), keyframe="1", z_order="0")
        if shown:
            _add_elements(skeleton, labels, group, frame, keyframe=True)
        else:
            _add_elements(skeleton, labels, group, frame - 1, keyframe=True, outside=True)


def _add_elements(
    skeleton: Xml.Element, labels: Labels, group: PointGroup, frame: int, *, keyframe: bool, outside: bool = False
) -> None:
    for label, column in zip(group.labels, labels.columns(group.labels), strict=True):
        there = bool(labels.labelled[frame, column])
        x, y = labels.tracks.positions_px[frame, column] + HALF_PIXEL if there else (0.0, 0.0)
        values = {"label": label}
        values |= {"keyframe": "1"} if keyframe else {"source": "file"}
        values |= {
            "outside": str(int(outside or not there)),
            "occluded": str(int(there and not labels.tracks.visible[frame, column])),
            "points": f"{x:.4f},{y:.4f}",
        }
        Xml.SubElement(skeleton, "points", values)


def _drawn(labels: Labels, group: PointGroup) -> tuple[list[int], list[str]]:
    """Returns how many points of a curve each frame draws, and a line on frames where one between others is missing.

    A curve may be shorter on some frames: its last points are then missing.
    """
    there = labels.labelled[:, labels.columns(group.labels)]
    counts = there.sum(axis=1)
    gaps = np.array([count > 0 and not row[:count].all() for row, count in zip(there, counts, strict=True)])
    lost = f"{group.name} is left out on {int(gaps.sum())} frames, where a point between others is missing"
    return np.where(gaps, 0, counts).tolist(), [lost] if gaps.any() else []


def _names_lost(name: str, labels: Labels) -> list[str]:
    curves = [
        group.name
        for group in labels.groups
        if group.kind != SKELETON and group.labels != numbered(group.name, len(group.labels))
    ]
    return [f"{name} does not hold the names of a curve's points ({', '.join(curves[:4])})"] if curves else []


def _write(path: Path, root: Xml.Element) -> None:
    Xml.indent(root)
    write_text_file(path, '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n")
