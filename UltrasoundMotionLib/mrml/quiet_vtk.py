"""VTK's messages kept off the terminal, for calls that report their failure by a return value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
import vtk


@contextmanager
def quiet_vtk() -> Iterator[vtk.vtkStringOutputWindow | None]:
    """Collects what VTK would print while the block runs; in the application, whose error log does that, it changes
    nothing and yields None.

    Outside the application a scene of markups makes Slicer's libraries warn of units once for every item that they
    save.
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
