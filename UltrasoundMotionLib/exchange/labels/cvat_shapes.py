"""The shapes in CVAT's XML, in our coordinates; see `formats/cvat.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.frame_numbers import numbers_in_clip
from UltrasoundMotionLib.exchange.labels.labels import CLOSED, CURVE, SKELETON, ClipReference, LabelCollector, numbered
from UltrasoundMotionLib.input_files import read_text_file

HALF_PIXEL = 0.5
"""From the corner of a pixel, where CVAT counts from, to its centre."""

KINDS = {"points": SKELETON, "polyline": CURVE, "polygon": CLOSED, "skeleton": SKELETON}
"""The elements that are read, and the kinds of groups that they are."""


@dataclass(frozen=True)
class CvatShape:
    """A shape on one frame: its object's name, its XML element and the frame."""

    name: str
    element: Xml.Element
    frame: int

    @property
    def where(self) -> str:
        """The place in the file, for messages."""
        return f"{self.element.tag} {self.name} on frame {self.frame}"


def read_root(path: Path) -> Xml.Element:
    """Returns the outermost element of a file of version 1.1.

    Raises:
        InputError: not XML, not CVAT's, or of another version.
    """
    try:
        root = Xml.fromstring(read_text_file(path, encoding="utf-8-sig"))
    except Xml.ParseError as error:
        raise InputError(f"{path}: is not valid XML: {error}") from error
    if root.tag != "annotations":
        raise InputError(f"{path}: is XML of {root.tag!r}, expected CVAT's 'annotations'")
    version = (root.findtext("version") or "").strip()
    if version != "1.1":
        raise InputError(f"{path}: is CVAT's XML of version {version or 'unknown'}, expected 1.1")
    return root


def shapes_of_tracks(path: Path, root: Xml.Element) -> Iterator[CvatShape]:
    """Yields the shapes of CVAT for video; tracks that share a label are called `LABEL-ID`."""
    tracks = root.findall("track")
    counts = Counter(track.get("label", "") for track in tracks)
    for number, track in enumerate(tracks):
        label = track.get("label", "")
        name = label if counts[label] == 1 else f"{label}-{track.get('id', number)}"
        for element in track:
            if element.tag in KINDS:
                yield CvatShape(name, element, whole_number(path, element, "frame"))


def shapes_of_images(
    path: Path, images: list[Xml.Element], clip: ClipReference | None, notes: list[str]
) -> Iterator[CvatShape]:
    """Yields the shapes of CVAT for images; a picture's further shapes of one label are called `LABEL-2` ..."""
    frames = [whole_number(path, image, "id") for image in images]
    if images and clip is not None and clip.frame_names:
        frames = numbers_in_clip(path, [image.get("name", "") for image in images], clip)
    twice = False
    for frame, image in zip(frames, images, strict=True):
        seen: Counter[str] = Counter()
        for element in image:
            if element.tag in KINDS:
                label = element.get("label", "")
                seen[label] += 1
                twice |= seen[label] > 1
                yield CvatShape(label if seen[label] == 1 else f"{label}-{seen[label]}", element, frame)
    if twice:
        notes.append(f"{path}: shapes of one label on one picture are told apart by their order (LABEL, LABEL-2 ...)")


def collect_shape(collector: LabelCollector, path: Path, shape: CvatShape, most: int, names: Counter[str]) -> None:
    """Adds a shape: `most` points has an object of its name anywhere, `names` counts the names of skeletons' points."""
    element = shape.element
    if element.tag == "skeleton":
        parts = element.findall("points")
        own = [part.get("label", "") for part in parts]
        labels = [name if names[name] == 1 else f"{shape.name}/{name}" for name in own]
        collector.group(shape.name, labels, kind=SKELETON)
        for label, part in zip(labels, parts, strict=True):
            collector.declare(shape.where, label)
            places = points_of(path, CvatShape(shape.name, part, shape.frame))
            if len(places) != 1:
                raise InputError(f"{path}: {shape.where}: {label} has {len(places)} positions, expected one")
            _add(collector, shape, label, places[0], part)
        return
    points = points_of(path, shape)
    labels = list(numbered(shape.name, len(points)))
    if element.tag == "points" and most == 1:
        labels = [shape.name]
    elif element.get("outside") != "1":
        collector.group(shape.name, labels, kind=KINDS[element.tag])
    for label, position in zip(labels, points, strict=True):
        _add(collector, shape, label, position, element)


def _add(
    collector: LabelCollector, shape: CvatShape, label: str, position: tuple[float, float], element: Xml.Element
) -> None:
    collector.declare(shape.where, label)
    if element.get("outside") != "1":
        collector.add(shape.where, shape.frame, label, position, visible=element.get("occluded") != "1")


def points_of(path: Path, shape: CvatShape) -> list[tuple[float, float]]:
    """Returns the points of a shape, the centre of the first pixel at (0, 0); none for a skeleton, which has parts.

    Raises:
        InputError: other text than numbers; the shape and its frame are named.
    """
    text = shape.element.get("points", "")
    if shape.element.tag == "skeleton":
        return []
    try:
        pairs = [tuple(float(number) for number in pair.split(",")) for pair in text.split(";")]
        return [(x - HALF_PIXEL, y - HALF_PIXEL) for x, y in pairs]
    except ValueError as error:
        raise InputError(f"{path}: {shape.where}: points must be x,y;x,y ..., got {text[:60]!r}") from error


def whole_number(path: Path, element: Xml.Element, name: str) -> int:
    """Returns an attribute that is a whole number.

    Raises:
        InputError: it is missing or is none.
    """
    text = element.get(name, "")
    if not text.isdecimal():
        raise InputError(f"{path}: a {element.tag} has {name}={text!r}, expected a whole number")
    return int(text)


def task_size(root: Xml.Element) -> int:
    """Returns the number of frames of the task, 0 where the file does not say."""
    text = root.findtext("meta/task/size") or root.findtext("meta/job/size") or ""
    return int(text) if text.strip().isdecimal() else 0


def picture_size(root: Xml.Element, images: list[Xml.Element]) -> tuple[int, int] | None:
    """Returns (W, H) of the pictures, None where the file does not say one size for all."""
    sizes = {(one.get("width", ""), one.get("height", "")) for one in images}
    sizes |= {(one.findtext("width") or "", one.findtext("height") or "") for one in root.iter("original_size")}
    if len(sizes) != 1:
        return None
    width, height = sizes.pop()
    return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else None
