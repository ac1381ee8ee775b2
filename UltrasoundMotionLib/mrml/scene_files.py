"""Whole scenes to and from `.mrb` files, with every return value checked."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import slicer
import vtk

from UltrasoundMotionLib.atomic_output import atomic_output, folder_beside
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.mrml.storage_names import check_node_names, safe_file_name, safe_storage_names


@contextmanager
def quiet_vtk() -> Iterator[vtk.vtkStringOutputWindow | None]:
    """Collects VTK's messages while the block runs, for calls that report failure by their return value.

    In the application, which has an error log, nothing is changed and None is yielded. Elsewhere Slicer's libraries
    print a warning about units for every markups item that they save.
    """
    if hasattr(slicer, "app"):
        yield None
        return
    window, previous = vtk.vtkStringOutputWindow(), vtk.vtkOutputWindow.GetInstance()
    verbosity = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkOutputWindow.SetInstance(window)
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        yield window
    finally:
        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.ConvertToVerbosity(verbosity))
        vtk.vtkOutputWindow.SetInstance(previous)


def write_scene(scene: slicer.vtkMRMLScene, path: str | Path) -> Path:
    """Writes the scene with all its data as one `.mrb` file and returns its path.

    Raises:
        OutputError: the name does not end in .mrb, the folder cannot be written to, or a node could not be saved (named
            where VTK says which).
    """
    path = Path(path)
    if path.suffix.lower() != ".mrb":
        raise OutputError(f"{path}: a scene is written as .mrb, not {path.suffix or 'without an ending'}")
    try:
        check_node_names(scene)
    except OutputError as error:
        raise OutputError(f"{path}: {error}") from error
    # A bundle contains its own file name, and a name that starts with a dot cannot be saved: it is written under
    # (nearly) its final name in a temporary folder.
    with atomic_output(path, read_back=_check_written) as temporary, folder_beside(path) as folder:
        bundle = folder.resolve() / f"{safe_file_name(path.stem)}.mrb"
        messages = slicer.vtkMRMLMessageCollection()
        with quiet_vtk() as window, safe_storage_names(scene):
            written = scene.WriteToMRB(str(bundle), None, messages)
        if not written or not bundle.exists():
            raise OutputError(f"{path}: the scene could not be saved{_first_message(messages, window)}")
        bundle.replace(temporary)
    return path


def read_scene(scene: slicer.vtkMRMLScene, path: str | Path) -> None:
    """Replaces the content of a scene by that of a `.mrb` file.

    Raises:
        InputError: the file is missing, not a complete bundle, damaged, without a scene in it, or parts of it could not
            be read.
    """
    path = Path(path)
    _check_bundle(path)
    # Unpacking changes the working directory, and does not change it back when it fails.
    working_directory = Path.cwd()
    messages = slicer.vtkMRMLMessageCollection()
    try:
        with quiet_vtk() as window:
            read = scene.ReadFromMRB(str(path.resolve()), True, messages)
    finally:
        os.chdir(working_directory)
    if not read:
        raise InputError(f"{path}: the scene could not be read{_first_message(messages, window)}")


def _check_bundle(path: Path) -> None:
    """Checks a bundle for faults that Slicer reports only as `No URL specified`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as bundle:
            damaged = bundle.testzip()
            names = bundle.namelist()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{path}: not a scene bundle (.mrb), truncated or damaged: {error}") from error
    if damaged is not None:
        raise InputError(f"{path}: damaged: {damaged} inside it cannot be unpacked")
    if not any(name.endswith(".mrml") for name in names):
        raise InputError(f"{path}: holds no scene (.mrml); expected a .mrb that 3D Slicer or this program wrote")


def _check_written(path: Path) -> None:
    """Checks a bundle that was just written: it can be unpacked, and every scene in it names files that are there.

    Raises:
        InputError: it cannot be read again.
    """
    _check_bundle(path)
    with zipfile.ZipFile(path) as bundle:
        _check_files(bundle)


def _check_files(bundle: zipfile.ZipFile) -> None:
    names = set(bundle.namelist())
    for scene in (name for name in names if name.endswith(".mrml")):
        folder = scene.rpartition("/")[0]
        try:
            with bundle.open(scene) as stream:
                nodes = [node for _, node in ElementTree.iterparse(stream) if "fileName" in node.attrib]
        except ElementTree.ParseError as error:
            raise InputError(f"{scene} is not well-formed: {error}") from error
        for node in nodes:
            file = unquote(node.attrib["fileName"])
            if file and f"{folder}/{file}" not in names:
                raise InputError(f"{scene} names {file}, which is not in the bundle")
    for inner in (name for name in names if name.endswith(".mrb")):
        with bundle.open(inner) as stream, zipfile.ZipFile(stream) as nested:
            _check_files(nested)


def _first_message(messages: slicer.vtkMRMLMessageCollection, window: vtk.vtkStringOutputWindow | None) -> str:
    """Returns the first reason given as `: reason` on one line; empty without one."""
    texts = [messages.GetNthMessageText(index) for index in range(messages.GetNumberOfMessages())]
    if not texts and window is not None:
        texts = [line.partition("): ")[2] or line for line in window.GetOutput().splitlines() if line.startswith("vtk")]
    return f": {' '.join(texts[0].split())}" if texts else ""
