"""Thin stand-ins for what the 3D Slicer application adds to slicer-core, so that the module files import and their
logic runs on real MRML nodes.

    with HeadlessScene() as scene, slicer_application(scene) as application:
        module = application.load_module("LandmarkTracking")     # what Slicer does with
        UltrasoundMotion/LandmarkTracking.py nodes = module.LandmarkTrackingLogic().track(...) widget =
        application.open_module("LandmarkTracking")     # its panel in Qt for Python, if that is installed
        application.wait(lambda: not widget.isRunning) application.errors                                       # what a
        user would have been shown in message boxes
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
import types
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import slicer

from parameter_node_stand_ins import WithinRange, parameter_node_wrapper
from UltrasoundMotionLib.mrml.headless_scene import application_logic_of
from waiting import MOST_WAITING_S

try:
    import qt_stand_ins
except ImportError:  # Qt for Python is in the extra `test`; without it modules import and logic runs, but no panel
    qt_stand_ins = None

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "UltrasoundMotion"


def module_names() -> list[str]:
    """Every module that Slicer finds in the folder."""
    return sorted(path.stem for path in MODULE_FOLDER.glob("*.py"))


# slicer.ScriptedLoadableModule


class ScriptedLoadableModule:
    def __init__(self, parent: object) -> None:
        self.parent, self.moduleName = parent, type(self).__name__

    def resourcePath(self, name: str) -> str:
        return str(MODULE_FOLDER / "Resources" / name)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: object = None) -> None:
        super().__init__()
        self.moduleName, self.parent, self.developerMode = type(self).__name__.removesuffix("Widget"), parent, False
        self.layout = parent.layout()

    resourcePath = ScriptedLoadableModule.resourcePath

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: object = None) -> None:
        super().__init__()
        self.moduleName, self.isSingletonParameterNode = type(self).__name__.removesuffix("Logic"), True

    def getParameterNode(self) -> slicer.vtkMRMLScriptedModuleNode:
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetName(scene.GenerateUniqueName(self.moduleName))
            node = scene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        pass


# the application


class ModuleParent:
    """The C++ module or module widget that a scripted class gets as its parent."""

    def __init__(self, path: Path, layout: object = None) -> None:
        self.path, self.isEntered, self._layout = str(path), False, layout
        self.title, self.categories, self.dependencies, self.contributors = "", [], [], []
        self.helpText, self.acknowledgementText, self.icon = "", "", None

    def layout(self) -> object:
        return self._layout


class UserSettings(dict):
    """The few methods of QSettings that the modules use."""

    def value(self, key: str, default: object = None) -> object:
        return self.get(key, default)

    setValue = dict.__setitem__


class Application:
    """`slicer.app`, and what a test asks of it."""

    def __init__(self, scene: slicer.vtkMRMLScene, folder: Path) -> None:
        self._logic, self._folder, self._slots, self._widgets = application_logic_of(scene), folder, {}, {}
        self.errors: list[str] = []
        self.shown_browsers: list[slicer.vtkMRMLSequenceBrowserNode] = []
        self.temporaryPath = self.cachePath = str(folder)
        self.testing, self._settings = False, UserSettings()
        self._layout_logic = slicer.vtkMRMLLayoutLogic()  # Slicer's own: it describes the layouts and makes the views
        self._layout_logic.SetMRMLScene(scene)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    # as Slicer has it
    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return self._logic

    def connect(self, signal: str, slot: Callable) -> None:
        self._slots.setdefault(signal, []).append(slot)

    def disconnect(self, signal: str, slot: Callable) -> None:
        self._slots[signal].remove(slot)

    def testingEnabled(self) -> bool:
        return self.testing

    def userSettings(self) -> UserSettings:
        return self._settings

    def layoutManager(self) -> Application:
        return self

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return self._layout_logic

    @property
    def layout(self) -> int:
        return self._layout_logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, arrangement: int) -> None:
        node = self._layout_logic.GetLayoutNode()
        known = node.IsLayoutDescription(arrangement)
        node.SetViewArrangement(arrangement if known else node.SlicerLayoutConventionalView)

    def processEvents(self) -> None:
        qt_stand_ins.process_events()

    def clipboard(self) -> object:
        return qt_stand_ins.wrap(qt_stand_ins.application().clipboard())

    def setOverrideCursor(self, cursor: object) -> None:
        pass

    def restoreOverrideCursor(self) -> None:
        pass

    # for tests
    def emit(self, signal: str) -> None:
        for slot in list(self._slots.get(signal, ())):
            slot()

    @property
    def connected(self) -> int:
        """How many slots are connected to the application's signals."""
        return sum(map(len, self._slots.values()))

    def load_module(self, name: str) -> types.ModuleType:
        """Imports a module file and makes its module, as Slicer does when it starts."""
        module = self._execute(name)
        module.module = getattr(module, name)(ModuleParent(MODULE_FOLDER / f"{name}.py"))
        return module

    def _execute(self, name: str) -> types.ModuleType:
        """Runs a module file: alone, with its own folder on the path."""
        path = MODULE_FOLDER / f"{name}.py"
        if str(MODULE_FOLDER) not in sys.path:
            sys.path.insert(0, str(MODULE_FOLDER))
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def open_module(self, name: str) -> object:
        """Makes the module's widget, sets it up and enters it."""
        module = sys.modules.get(name) or self.load_module(name)
        layout = qt_stand_ins.QtModule().QVBoxLayout()
        widget = getattr(module, f"{name}Widget")(ModuleParent(MODULE_FOLDER / f"{name}.py", layout))
        self._widgets[name] = widget
        setattr(slicer.modules, f"{name}Widget", widget)
        widget.setup()
        widget.parent.isEntered = True
        widget.enter()
        return widget

    def reload_module(self, name: str) -> object:
        """What the Reload button does (`reloadScriptedModule`): the new file, then the old widget's cleanup, then a new
        widget in the same parent, which is entered still: `enter` is not called.
        """
        old = self._widgets[name]
        module = self._execute(name)
        old.cleanup()
        widget = self._widgets[name] = getattr(module, f"{name}Widget")(old.parent)
        setattr(slicer.modules, f"{name}Widget", widget)
        widget.setup()
        return widget

    def wait(self, condition: Callable[[], bool], timeout_s: float = MOST_WAITING_S) -> None:
        """Runs Qt's event loop until the condition holds.

        Raises:
            TimeoutError: it did not within the seconds that even a busy machine never needs.
        """
        until = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"waited {timeout_s} s")
            qt_stand_ins.process_events(5)
            time.sleep(0.001)

    def close_module(self, name: str) -> None:
        """Leaves the module and destroys its widget."""
        widget = self._widgets.pop(name)
        widget.exit()
        widget.cleanup()

    def quit(self) -> None:
        """Closes the widgets as the application does at its end."""
        for name in list(self._widgets):
            self.close_module(name)
        self.emit("aboutToQuit()")
        self._layout_logic.SetMRMLScene(None)


@contextmanager
def slicer_application(scene: slicer.vtkMRMLScene) -> Iterator[Application]:
    """Puts the stand-ins where the modules look for them, and takes all of it away again."""
    modules = _modules()
    kept = {name: sys.modules.get(name) for name in (*modules, *module_names())}
    with tempfile.TemporaryDirectory(prefix="slicer-stand-in-") as folder:
        application = Application(scene, Path(folder))

        def error_display(text: str, *_: object, **__: object) -> None:
            application.errors.append(text)

        replaced = {
            (slicer, "app"): application,
            (slicer, "modules"): types.SimpleNamespace(
                sequences=types.SimpleNamespace(showSequenceBrowser=application.shown_browsers.append)
            ),
            (slicer.util, "errorDisplay"): error_display,
            (slicer, "qMRMLUtils"): qt_stand_ins.MRMLUtils if qt_stand_ins else None,
            (slicer.util, "mainWindow"): lambda: None,
            (slicer.util, "modulePath"): lambda name: str(MODULE_FOLDER / f"{name}.py"),
            (slicer.util, "loadUI"): qt_stand_ins.load_ui if qt_stand_ins else None,
            (slicer.util, "childWidgetVariables"): qt_stand_ins.child_variables if qt_stand_ins else None,
        }
        for name, module in modules.items():
            if name.startswith("slicer."):
                replaced[slicer, name.removeprefix("slicer.")] = module
        missing = object()
        before = {place: getattr(*place, missing) for place in replaced}
        sys.modules.update(modules)
        for place, value in replaced.items():
            setattr(*place, value)
        try:
            yield application
        finally:
            application.quit()
            for place, value in before.items():
                delattr(*place) if value is missing else setattr(*place, value)
            for name, module in kept.items():
                sys.modules.pop(name, None)
                if module is not None:
                    sys.modules[name] = module


def _modules() -> dict[str, types.ModuleType]:
    """The modules that slicer-core lacks, by the name they are imported under."""

    def made(name: str, **content: object) -> types.ModuleType:
        module = types.ModuleType(name)
        vars(module).update(content)
        return module

    classes = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    return {
        "qt": qt_stand_ins.QtModule() if qt_stand_ins else made("qt"),
        "ctk": made("ctk"),
        "slicer.i18n": made("slicer.i18n", tr=lambda text: text, translate=lambda context, text: text),
        "slicer.ScriptedLoadableModule": made(
            "slicer.ScriptedLoadableModule",
            __all__=[one.__name__ for one in classes],
            **{one.__name__: one for one in classes},
        ),
        "slicer.parameterNodeWrapper": made(
            "slicer.parameterNodeWrapper", parameterNodeWrapper=parameter_node_wrapper, WithinRange=WithinRange
        ),
    }
