"""COCO keypoints (.json): an annotation for each object on each picture.

Format: https://cocodataset.org/#format-data. Keypoints are 0-indexed pixels: (0, 0) is the centre of the first pixel,
as detectron2 takes them (`data/datasets/coco.py`, "pixel indices"), unlike COCO's boxes and masks, which count from its
corner. `v` is 0 (not labelled), 1 (labelled, not visible) or 2 (visible). Objects that keep their identity over frames
have a `track_id`, pictures of a video a `frame_id`, as in CocoVID.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.frame_numbers import numbers_by_order, numbers_in_clip
from UltrasoundMotionLib.exchange.labels.labels import (
    CLOSED,
    CURVE,
    SKELETON,
    ClipReference,
    LabelCollector,
    Labels,
    PointGroup,
)
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format, members
from UltrasoundMotionLib.input_files import read_json_file
from UltrasoundMotionLib.json_output import write_json

_POINTS = "points"
_VISIBLE, _HIDDEN = 2, 1


@dataclass(frozen=True)
class _Category:
    name: str
    keypoints: tuple[str, ...]
    kind: str


@label_format
class Coco(LabelFormat):
    """Keypoints in COCO's JSON."""

    name = "coco"
    summary = "COCO keypoints (.json)"
    origin = "pixels, the centre of the first pixel is (0, 0)"
    endings = (".json",)
    keeps = frozenset({"visible", "names", "groups"})
    rank = 50

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for COCO's three lists."""
        return {"images", "annotations", "categories"} <= file.json_keys

    def takes_name(self, name: str) -> bool:
        """Returns True for .json but for Slicer's markups."""
        return name.endswith(".json") and not name.endswith(".mrk.json")

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads the keypoints of one clip; other annotations are passed over, with a note."""
        content = members(read_json_file(path), dict, path, "the file")
        images = _by_id(path, content, "images")
        categories = _categories(path, content)
        frames, notes = _frame_numbers(path, images, clip)
        annotations = [
            one
            for one in members(content.get("annotations"), list, path, "annotations")
            if isinstance(one, dict) and one.get("keypoints")
        ]
        other = len(content["annotations"]) - len(annotations)
        if other:
            notes.append(f"{path}: {other} annotations have no keypoints and are passed over")
        objects = {(one.get("category_id"), one.get("track_id")) for one in annotations}
        names = Counter(name for key, _ in objects if key in categories for name in categories[key].keypoints)
        collector = LabelCollector(path)
        for number, one in enumerate(annotations):
            where = f"annotation {one.get('id', number)}"
            if one.get("category_id") not in categories:
                raise InputError(f"{path}: {where}: there is no category {one.get('category_id')} with keypoints")
            if one.get("image_id") not in images:
                raise InputError(f"{path}: {where}: there is no image {one.get('image_id')}")
            category = categories[one["category_id"]]
            track = one.get("track_id")
            several = sum(key == one["category_id"] for key, _ in objects) > 1
            group = f"{category.name}-{track}" if several else category.name
            labels = [name if names[name] == 1 else f"{group}/{name}" for name in category.keypoints]
            values = _keypoints(path, where, one["keypoints"], len(labels))
            for label, (x, y, seen) in zip(labels, values, strict=True):
                collector.declare(where, label)
                if seen:
                    _add(collector, where, frames[one["image_id"]], label, (x, y), visible=seen == _VISIBLE)
            if category.name != _POINTS:
                collector.group(group, labels, kind=category.kind)
        sizes = {(one.get("width"), one.get("height")) for one in images.values()}
        width, height = next(iter(sizes)) if len(sizes) == 1 else (None, None)
        size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        file_names = {frames[key]: str(one.get("file_name", "")) for key, one in images.items()}
        count = max(frames.values(), default=-1) + 1
        return collector.finish(
            clip,
            frame_count=count,
            frame_names=tuple(file_names.get(number, "") for number in range(count)),
            frame_size=size,
            notes=notes,
        )

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes an annotation for each group of points on each frame that has one of them."""
        size = labels.frame_size or (clip.sequence.frame_size if clip else None)
        if size is None:
            raise InputError(f"{path}: COCO needs the size of the pictures; name the clip with --image")
        given = (clip.frame_names if clip else ()) or labels.frame_names
        count = len(labels.tracks.positions_px)
        names = [name or f"frame_{number:06d}.png" for number, name in enumerate([*given, *[""] * count][:count])]
        images = [
            {"id": number + 1, "file_name": name, "width": size[0], "height": size[1], "frame_id": number}
            for number, name in enumerate(names)
        ]
        groups = list(labels.groups)
        if labels.single_labels:
            groups.insert(0, PointGroup(_POINTS, labels.single_labels, SKELETON))
        categories = [
            {
                "id": number,
                "name": group.name,
                "supercategory": "",
                "keypoints": list(group.labels),
                "skeleton": _edges(group),
            }
            for number, group in enumerate(groups, start=1)
        ]
        annotations: list[dict] = []
        for number, group in enumerate(groups, start=1):
            for one in _annotations(labels, group):
                annotations.append({"id": len(annotations) + 1, "category_id": number, **one})
        info = {"description": labels.clip or (clip.name if clip else "")}
        write_json(path, {"info": info, "images": images, "annotations": annotations, "categories": categories})
        if any(given):
            return []
        return [f"coco: the clip has no file names for its frames; they are written as {names[0]} ..."]


def _keypoints(path: Path, where: str, given: Any, count: int) -> list[tuple[float, float, int]]:
    """Returns (x, y, v) of each keypoint."""
    values = members(given, list, path, f"{where}: keypoints")
    if len(values) != 3 * count:
        raise InputError(f"{path}: {where}: has {len(values)} numbers, expected 3 for each of {count} keypoints")
    for x, y, seen in zip(values[0::3], values[1::3], values[2::3], strict=True):
        if seen not in (0, _HIDDEN, _VISIBLE):
            raise InputError(f"{path}: {where}: v is {seen!r}, expected 0, 1 or 2")
        if not all(isinstance(one, int | float) for one in (x, y)):
            raise InputError(f"{path}: {where}: x and y must be numbers, got {x!r} and {y!r}")
    return list(zip(values[0::3], values[1::3], values[2::3], strict=True))


def _add(
    collector: LabelCollector, where: str, frame: int, label: str, position: tuple[float, float], *, visible: bool
) -> None:
    if collector.has(frame, label):
        raise InputError(
            f"{collector.path}: {where}: a second object of this kind on one picture has no track_id of its own, so "
            "which is which is not known"
        )
    collector.add(where, frame, label, position, visible=visible)


def _annotations(labels: Labels, group: PointGroup) -> list[dict]:
    found = []
    columns = labels.columns(group.labels)
    for frame, there in enumerate(labels.labelled[:, columns]):
        if not there.any():
            continue
        positions = labels.tracks.positions_px[frame, columns]
        keypoints: list[float] = []
        for (x, y), known, seen in zip(positions, there, labels.tracks.visible[frame, columns], strict=True):
            code = (_VISIBLE if seen else _HIDDEN) if known else 0
            keypoints += [round(float(x), 6), round(float(y), 6), code] if known else [0, 0, 0]
        low, high = positions[there].min(axis=0), positions[there].max(axis=0)
        width, height = (high - low + 1).tolist()  # a box goes from the outer border of its first pixel to its last's
        found.append(
            {
                "image_id": frame + 1,
                "track_id": 1,
                "keypoints": keypoints,
                "num_keypoints": int(there.sum()),
                "bbox": [round(value, 3) for value in (float(low[0]), float(low[1]), width, height)],
                "area": round(width * height, 3),
                "iscrowd": 0,
                "segmentation": [],
            }
        )
    return found


def _edges(group: PointGroup) -> list[list[int]]:
    """Returns the lines between keypoints, which COCO counts from 1."""
    count = len(group.labels)
    if group.kind == SKELETON:
        return []
    return [[one, one + 1] for one in range(1, count)] + ([[count, 1]] if group.kind == CLOSED else [])


def _by_id(path: Path, content: dict, name: str) -> dict[Any, dict]:
    found: dict[Any, dict] = {}
    for number, one in enumerate(members(content.get(name), list, path, name)):
        entry = members(one, dict, path, f"{name}: entry {number}")
        key = members(entry.get("id"), int, path, f"{name}: entry {number}: id")
        if key in found:
            raise InputError(f"{path}: {name}: the id {key} is there twice")
        found[key] = entry
    return found


def _categories(path: Path, content: dict) -> dict[Any, _Category]:
    found = {}
    for key, one in _by_id(path, content, "categories").items():
        keypoints = one.get("keypoints")
        if not keypoints:
            continue
        names = [str(name) for name in members(keypoints, list, path, f"category {key}: keypoints")]
        if len(set(names)) < len(names):
            raise InputError(f"{path}: category {key}: two keypoints have the same name")
        edges = one.get("skeleton") or []
        chain = [[number, number + 1] for number in range(1, len(names))]
        kind = {0: CURVE, 1: CLOSED}.get(len(edges) - len(chain), SKELETON) if len(names) > 2 else SKELETON
        if edges[: len(chain)] != chain or (kind == CLOSED and edges[-1] != [len(names), 1]):
            kind = SKELETON
        found[key] = _Category(str(one.get("name", key)), tuple(names), kind)
    if not found:
        raise InputError(f"{path}: no category has keypoints, so it holds boxes or masks only")
    return found


def _frame_numbers(path: Path, images: dict[Any, dict], clip: ClipReference | None) -> tuple[dict[Any, int], list[str]]:
    videos = {one.get("video_id") for one in images.values()}
    if len(videos) > 1:
        raise InputError(f"{path}: holds the pictures of {len(videos)} videos (video_id); split it, one file for each")
    names = [str(one.get("file_name", "")) for one in images.values()]
    if clip is not None and clip.frame_names:
        return dict(zip(images, numbers_in_clip(path, names, clip), strict=True)), []
    numbers = [one.get("frame_id") for one in images.values()]
    if numbers and all(isinstance(one, int) for one in numbers) and len(set(numbers)) == len(numbers):
        return dict(zip(images, [int(one) for one in numbers if one is not None], strict=True)), []
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two images have the same file_name")
    ordered, note = numbers_by_order(path, names)
    return dict(zip(images, ordered, strict=True)), [note]
