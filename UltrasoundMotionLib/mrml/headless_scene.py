"""A MRML scene outside the application, so that the command line can write scenes for 3D Slicer."""

from __future__ import annotations

import tempfile

import slicer
from vtkmodules.vtkCommonCore import vtkCollection

from UltrasoundMotionLib.errors import InputError

_MODULE_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}


_SEGMENTATION_RULES = (
    "vtkBinaryLabelmapToClosedSurfaceConversionRule",
    "vtkClosedSurfaceToBinaryLabelmapConversionRule",
)

_open_scenes: list[HeadlessScene] = []


class HeadlessScene:
    """A scene with the application's module logics; a context manager that yields the `vtkMRMLScene`.

    While open it is also `slicer.mrmlScene`, which `slicer.util` reads. Inside the application use `slicer.mrmlScene`
    instead.

    Attributes:
        scene: the vtkMRMLScene.
        application_logic: its vtkSlicerApplicationLogic, which displayable managers need.

    Raises:
        InputError: called inside the application, whose own scene it would hide.
    """

    def __init__(self) -> None:
        if hasattr(slicer, "app"):
            raise InputError(
                "a headless scene cannot be made inside the 3D Slicer application; pass slicer.mrmlScene instead"
            )
        self._cache_directory = tempfile.TemporaryDirectory(prefix="ultrasound-motion-scene-")
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetMRMLScene(self.scene)
        color_logic = self.application_logic.GetColorLogic()
        color_logic.SetMRMLScene(self.scene)
        color_logic.AddDefaultColorNodes()
        self.application_logic.SetSliceLogics(vtkCollection())
        self.application_logic.SetViewLogics(vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        self.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())  # as the Colors module does
        _register_segmentation_rules()
        self._logics = [self._add_module_logic(name, class_name) for name, class_name in _MODULE_LOGICS.items()]
        # ReadFromMRB unpacks in the cache directory of the data manager, and returns False without one.
        self._remote_io = slicer.vtkMRMLRemoteIOLogic()
        self._remote_io.GetCacheManager().SetRemoteCacheDirectory(self._cache_directory.name)
        self._data_manager = slicer.vtkDataIOManagerLogic()
        self._data_manager.SetMRMLApplicationLogic(self.application_logic)
        self._data_manager.SetAndObserveDataIOManager(self._remote_io.GetDataIOManager())
        self.application_logic.SetMRMLSceneDataIO(self.scene, self._remote_io, self._data_manager)
        _open_scenes.append(self)
        self._outer_scene = getattr(slicer, "mrmlScene", None)
        slicer.mrmlScene = self.scene

    def _add_module_logic(self, name: str, class_name: str) -> object:
        logic = getattr(slicer, class_name)()
        logic.SetMRMLScene(self.scene)
        logic.SetMRMLApplicationLogic(self.application_logic)
        self.application_logic.SetModuleLogic(name, logic)
        return logic

    def close(self) -> None:
        """Empties the scene and restores `slicer.mrmlScene`."""
        if slicer.mrmlScene is self.scene:
            slicer.mrmlScene = self._outer_scene
        _open_scenes.remove(self)
        self.scene.Clear(True)
        for logic in (self._data_manager, self._remote_io, *reversed(self._logics)):
            logic.SetMRMLScene(None)
        self._cache_directory.cleanup()

    def __enter__(self) -> slicer.vtkMRMLScene:
        return self.scene

    def __exit__(self, *exception: object) -> None:
        self.close()


def _register_segmentation_rules() -> None:
    """Registers the conversions between label maps and surfaces, as the Segmentations module does.

    Without them a segmentation cannot even be copied.
    """
    factory = slicer.vtkSegmentationConverterFactory.GetInstance()
    if not factory.GetConverterRules():
        for class_name in _SEGMENTATION_RULES:
            factory.RegisterConverterRule(getattr(slicer, class_name)())


def application_logic_of(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLApplicationLogic:
    """Returns the application logic of a scene: the application's own, or that of an open `HeadlessScene`.

    Raises:
        InputError: the scene belongs to neither.
    """
    if hasattr(slicer, "app"):
        return slicer.app.applicationLogic()
    for headless in _open_scenes:
        if headless.scene is scene:
            return headless.application_logic
    raise InputError("the scene has no application logic; make it with HeadlessScene")
