"""An object on every frame as files: one for each frame, with its number and time in the name, and a table of times."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.mrml.carried_object import (
    BINARY_LABELMAP,
    CLOSED_SURFACE,
    copy_of,
    is_placed,
    to_world,
)
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, to_vtk_matrix
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.steps import Steps

TIMES_FILE = "frames.csv"
"""The table: frame, index value, time in seconds and file, one row for each file."""

FILE_FORMATS = {
    "vtkMRMLSegmentationNode": ("nrrd", "stl", "vtp"),
    "vtkMRMLModelNode": ("stl", "vtp"),
    "vtkMRMLMarkupsNode": ("csv",),
    "vtkMRMLVolumeNode": ("nrrd",),
}
"""Formats in which each kind of object can be written, the usual one first."""


def formats_of(node: slicer.vtkMRMLNode) -> tuple[str, ...]:
    """Returns the formats in which an object can be written; none for another kind of node."""
    return next((formats for class_name, formats in FILE_FORMATS.items() if node.IsA(class_name)), ())


def writing(nodes: SequenceNodes, folder: str | Path, file_format: str) -> Steps[Path]:
    """Writes every frame into a new folder, in steps of one frame, and returns the folder.

    Surfaces (STL, VTK's .vtp) are written one for each segment, volumes as .nrrd, segmentations as .seg.nrrd, points as
    .csv (label, x, y, z, placed) with the positions of control points. All are in LPS mm in the world. The folder
    appears complete or not at all; nothing is overwritten.

    Args:
        folder: must not exist yet; the folder that holds it must.

    Raises:
        InputError: a format that the object does not have, a segment without a surface.
        OutputError: the folder exists or cannot be made, a frame cannot be written.
    """
    formats = formats_of(nodes.proxy)
    if file_format not in formats:
        raise InputError(
            f"{nodes.proxy.GetName()}: cannot be written as {file_format}; choose {' or '.join(formats) or 'another'}"
        )
    folder, count = Path(folder), nodes.sequence.GetNumberOfDataNodes()
    if folder.exists():
        raise OutputError(f"{folder}: exists already; choose another name")
    world, times = to_world(nodes.proxy), nodes.index.times_s()
    with atomic_output(folder) as partial:
        partial.mkdir()
        rows = []
        for frame, value in enumerate(nodes.index.values):
            yield frame, count, "writing the frames"
            time = "" if times is None else f"{times[frame]:.6f}".rstrip("0").rstrip(".")
            stem = _file_stem(nodes.proxy.GetName(), frame, count, time)
            for path in _write_item(nodes.sequence.GetNthDataNode(frame), world, partial / stem, file_format):
                rows.append((frame, value, time, path.name))
        with (partial / TIMES_FILE).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("frame", "index", "time_s", "file"))
            table.writerows(rows)
    return folder


def _file_stem(name: str, frame: int, count: int, time: str) -> str:
    """`heart_007_0.35s`, without characters that a file system may refuse."""
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
    return f"{plain}_{frame:0{len(str(count - 1))}d}" + (f"_{time}s" if time else "")


def _write_item(item: slicer.vtkMRMLNode, world: np.ndarray, stem: Path, file_format: str) -> Iterator[Path]:
    if item.IsA("vtkMRMLMarkupsNode"):
        yield _write_points(item, world, Path(f"{stem}.csv"))
    elif item.IsA("vtkMRMLModelNode"):
        yield _write_surface(item.GetMesh(), world, Path(f"{stem}.{file_format}"))
    elif item.IsA("vtkMRMLVolumeNode"):
        yield _write_volume(item, world, Path(f"{stem}.nrrd"))
    elif file_format == "nrrd":
        yield _write_segmentation(item, world, Path(f"{stem}.seg.nrrd"))
    else:
        yield from _write_segments(item, world, stem, file_format)


def _write_points(item: slicer.vtkMRMLMarkupsNode, world: np.ndarray, path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("label", "x_mm", "y_mm", "z_mm", "placed"))
        for control in range(item.GetNumberOfControlPoints()):
            placed = is_placed(item, control)
            ras = (world @ [*item.GetNthControlPointPosition(control), 1.0])[:3]
            position = [f"{value:.6f}" for value in ras * LPS_TO_RAS] if placed else ["", "", ""]
            table.writerow((item.GetNthControlPointLabel(control), *position, int(placed)))
    return path


def _write_surface(mesh: vtk.vtkPointSet, world: np.ndarray, path: Path) -> Path:
    if not mesh.IsA("vtkPolyData"):
        raise InputError(f"{path.name}: the model is a mesh of volume elements; only surfaces are written")
    placed = vtk.vtkTransform()
    placed.SetMatrix(to_vtk_matrix(world))
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetTransform(placed)
    moved.SetInputData(mesh)
    moved.Update()
    model, storage = slicer.vtkMRMLModelNode(), slicer.vtkMRMLModelStorageNode()
    model.SetAndObserveMesh(moved.GetOutput())
    return _stored(storage, model, path)


def _write_volume(item: slicer.vtkMRMLVolumeNode, world: np.ndarray, path: Path) -> Path:
    copy = copy_of(item)
    copy.ApplyTransformMatrix(to_vtk_matrix(world))
    return _stored(slicer.vtkMRMLNRRDStorageNode(), copy, path)


def _write_segmentation(item: slicer.vtkMRMLSegmentationNode, world: np.ndarray, path: Path) -> Path:
    if not item.GetSegmentation().ContainsRepresentation(BINARY_LABELMAP):
        raise InputError(f"{item.GetName()}: is stored as surfaces; write STL or VTK files")
    copy = copy_of(item)
    if not np.array_equal(world, np.eye(4)):
        copy.ApplyTransformMatrix(to_vtk_matrix(world))
    return _stored(slicer.vtkMRMLSegmentationStorageNode(), copy, path)


def _write_segments(
    item: slicer.vtkMRMLSegmentationNode, world: np.ndarray, stem: Path, file_format: str
) -> Iterator[Path]:
    copy = copy_of(item)
    segmentation = copy.GetSegmentation()
    if not segmentation.CreateRepresentation(CLOSED_SURFACE):
        raise InputError(f"{item.GetName()}: no surface can be made of its segments")
    used: set[str] = set()
    for number in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(number)
        surface = segment.GetRepresentation(CLOSED_SURFACE)
        if surface is None or surface.GetNumberOfPoints() == 0:
            continue
        name = "".join(letter if letter.isalnum() else "-" for letter in segment.GetName())
        name = name if name not in used else f"{name}-{number}"
        used.add(name)
        yield _write_surface(surface, world, Path(f"{stem}_{name}.{file_format}"))


def _stored(storage: slicer.vtkMRMLStorageNode, node: slicer.vtkMRMLStorableNode, path: Path) -> Path:
    storage.SetFileName(str(path))
    if not storage.WriteData(node) or not path.is_file():
        raise OutputError(f"{path}: could not be written")
    return path
