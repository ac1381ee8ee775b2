"""Offscreen rendering of slice views by Slicer's own displayable managers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import slicer
import vtk

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.mrml.headless_scene import application_logic_of
from UltrasoundMotionLib.mrml.views import show_as_acquired
from UltrasoundMotionLib.pictures.picture_check import check_picture

_DISPLAYABLE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class SliceView:
    """A slice view in memory, with image, markups, segmentations and transforms as the application draws them.

    Colour legends are drawn only for nodes that are added while the view exists, since Slicer's manager of legends
    observes additions only. Close the view, or use it in a `with` block, before the scene is closed.

    Raises:
        OutputError: this machine has no OpenGL, not even in software (Mesa's libegl1 and libgl1-mesa-dri suffice).
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        volume: slicer.vtkMRMLVolumeNode,
        size: tuple[int, int] = (800, 600),
        view_name: str = "Red",
    ) -> None:
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        self._renderer = vtk.vtkRenderer()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetSize(*size)
        self._window.AddRenderer(self._renderer)
        if not self._window.SupportsOpenGL():
            raise OutputError(
                f"no OpenGL to draw with: {' '.join((self._window.GetOpenGLSupportMessage() or 'no message').split())}"
            )
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        logic = application_logic_of(scene)
        self._slice_logic = slicer.vtkMRMLSliceLogic()
        self._slice_logic.SetMRMLApplicationLogic(logic)
        self._slice_logic.SetMRMLScene(scene)
        node = show_as_acquired(scene, volume, view_name)
        self._slice_logic.SetSliceNode(node)
        self._logics = logic.GetSliceLogics()
        self._logics.AddItem(self._slice_logic)
        self._managers = self._start_managers(logic, node)
        self._fit(size)
        self._image = self._image_actor()
        self._renderer.AddViewProp(self._image)

    def _start_managers(
        self, logic: slicer.vtkMRMLApplicationLogic, node: slicer.vtkMRMLSliceNode
    ) -> slicer.vtkMRMLDisplayableManagerGroup:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(logic)
        for manager in _DISPLAYABLE_MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        group = slicer.vtkMRMLDisplayableManagerGroup()
        group.SetRenderer(self._renderer)
        group.Initialize(factory, self._renderer)
        group.SetMRMLDisplayableNode(node)
        return group

    def _image_actor(self) -> vtk.vtkActor2D:
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(self._slice_logic.GetImageDataConnection())
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        return actor

    def _fit(self, size: tuple[int, int]) -> None:
        self._slice_logic.ResizeSliceNode(*size)
        self._slice_logic.FitSliceToBackground(*size)

    def resize(self, size: tuple[int, int]) -> None:
        """Changes the size of the view, to which the image is fitted."""
        self._window.SetSize(*size)
        self._fit(size)

    def draw(self) -> None:
        """Draws the scene in its present state."""
        self._window.Render()

    def write_png(self, path: str | Path) -> Path:
        """Draws the scene in its present state and writes it.

        Raises:
            OutputError: the file cannot be written.
        """
        self.draw()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        writer = vtk.vtkPNGWriter()
        writer.SetInputConnection(grabber.GetOutputPort())
        with atomic_output(path, read_back=check_picture) as temporary:
            writer.SetFileName(str(temporary))
            writer.Write()
        return Path(path)

    def close(self) -> None:
        """Releases the scene; the slice view node stays in it."""
        self._managers.SetMRMLDisplayableNode(None)
        self._logics.RemoveItem(self._slice_logic)
        self._slice_logic.SetMRMLScene(None)
        self._window.Finalize()

    def __enter__(self) -> SliceView:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
