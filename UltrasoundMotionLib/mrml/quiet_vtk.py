"""VTK's messages kept off the terminal, for calls that already report their failure by a return value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
import vtk


@contextmanager
def quiet_vtk() -> Iterator[vtk.vtkStringOutputWindow | None]:
    """Collects what VTK prints while the block runs. In the application nothing changes: its error log collects it already (yields None)."""
    if hasattr(slicer, "app"):
        yield None
        return
    window = vtk.vtkStringOutputWindow()
    previous = vtk.vtkOutputWindow.GetInstance()
    vtk.vtkOutputWindow.SetInstance(window)
    try:
        yield window
    finally:
        vtk.vtkOutputWindow.SetInstance(previous)
