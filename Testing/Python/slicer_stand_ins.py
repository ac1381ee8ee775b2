"""Thin stand-ins for what the 3D Slicer application adds to slicer-core, so that the module files import and their
logic runs on real MRML nodes.

    with HeadlessScene() as scene, slicer_application(scene) as application:
        module = application.load_module("LandmarkTracking")     # what Slicer does with
        UltrasoundMotion/LandmarkTracking.py nodes = module.LandmarkTrackingLogic().track(...) widget =
        application.open_module("LandmarkTracking")     # its panel in Qt for Python, if that is installed
        application.wait(lambda: not widget.isRunning) application.errors                                       # what a
        user would have been shown in message boxes

The parameter node wrapper keeps values in the same vtkMRMLScriptedModuleNode as Slicer's; which widget takes which type
is `FITTING`, read in Slicer's Base/Python/slicer/parameterNodeWrapper/guiConnectors.py and
Modules/Loadable/Markups/MarkupsLib/parameterNodeWrapper/guiConnectors.py.
"""

from __future__ import annotations

import enum
import importlib.util
import pathlib
import sys
import tempfile
import time
import types
import typing
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import slicer
import vtk

from UltrasoundMotionLib.mrml.headless_scene import application_logic_of

try:
    import qt_stand_ins
except ImportError:  # Qt for Python is in the extra `test`; without it modules import and logic runs, but no panel
    qt_stand_ins = None

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "UltrasoundMotion"


def module_names() -> list[str]:
    """Every module that Slicer finds in the folder."""
    return sorted(path.stem for path in MODULE_FOLDER.glob("*.py"))


# slicer.parameterNodeWrapper


@dataclass(frozen=True)
class Choice:
    choices: list

    def __init__(self, choices: list) -> None:
        object.__setattr__(self, "choices", list(choices))


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Minimum:
    minimum: float


@dataclass(frozen=True)
class Maximum:
    maximum: float


@dataclass(frozen=True)
class Default:
    value: object


NUMBER_BOXES = (
    "QDoubleSpinBox",
    "ctkSliderWidget",
    "ctkDoubleSlider",
    "ctkDoubleSpinBox",
    "qMRMLSliderWidget",
    "qMRMLSpinBox",
)
FITTING: dict[str, tuple[str, ...]] = {
    "bool": ("QCheckBox", "ctkCheckBox", "QPushButton", "ctkCheckablePushButton"),
    "int": ("QSlider", "QSpinBox", *NUMBER_BOXES),
    "float": NUMBER_BOXES,
    "choice": ("QComboBox", "ctkComboBox"),
    "enum": ("QComboBox", "ctkComboBox"),
    "str": ("QLineEdit", "QLabel", "QTextEdit"),
    "path": ("ctkPathLineEdit", "ctkDirectoryButton"),
    "node": ("qMRMLNodeComboBox", "qSlicerSimpleMarkupsWidget"),
}
"""The widget classes that Slicer connects to a field of each kind; the class must be exactly one of these."""


class Field:
    """One field of a parameter node class."""

    def __init__(self, name: str, hint: object, default: object) -> None:
        arguments = typing.get_args(typing.Annotated[hint, None])
        self.name, self.type, self.annotations = name, arguments[0], arguments[1:-1]
        members = (
            typing.get_args(self.type)
            if typing.get_origin(self.type) in (typing.Union, types.UnionType)
            else (self.type,)
        )
        self.node_types = tuple(
            member for member in members if isinstance(member, type) and issubclass(member, slicer.vtkMRMLNode)
        )
        self.choices = next((note.choices for note in self.annotations if isinstance(note, Choice)), None)
        self.kind = self._kind()
        stated = next((note.value for note in self.annotations if isinstance(note, Default)), None)
        if default is None:
            default = stated if stated is not None else self._plain_default()
        self.default = default

    def _kind(self) -> str:
        if self.node_types:
            return "node"
        if self.choices is not None:
            return "choice"
        if isinstance(self.type, type) and issubclass(self.type, enum.Enum):
            return "enum"
        if isinstance(self.type, type) and issubclass(self.type, pathlib.PurePath):
            return "path"
        if self.type in (bool, int, float, str):
            return self.type.__name__
        raise TypeError(f"{self.name}: the stand-in has no serializer for {self.type}")

    def _plain_default(self) -> object:
        if self.kind == "node":
            return None
        return self.choices[0] if self.choices else next(iter(self.type)) if self.kind == "enum" else self.type()

    def read(self, node: slicer.vtkMRMLScriptedModuleNode) -> object:
        if self.kind == "node":
            return node.GetNodeReference(self.name)
        if node.GetParameter(self.name) == "" and not node.GetParameterNames().count(self.name):
            return self.default
        text = node.GetParameter(self.name)
        if self.kind == "enum":
            return self.type[text]
        return text == "True" if self.type is bool else self.type(text)

    def write(self, node: slicer.vtkMRMLScriptedModuleNode, value: object) -> None:
        if self.kind == "node":
            if value is not None and not isinstance(value, self.node_types):
                raise TypeError(f"{self.name}: {value.GetClassName()} is not one of {self.node_types}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"{self.name}: {value!r} is not one of {self.choices}")
        for note in self.annotations:
            below = isinstance(note, WithinRange | Minimum) and value < note.minimum
            if below or (isinstance(note, WithinRange | Maximum) and value > note.maximum):
                raise ValueError(f"{self.name}: {value} is out of range")
        if self.kind not in ("choice", "path") and not isinstance(
            value, (self.type, int) if self.type is float else self.type
        ):
            raise TypeError(f"{self.name}: {value!r} is not {self.type.__name__}")
        node.SetParameter(self.name, value.name if self.kind == "enum" else str(value))


def parameter_node_wrapper(wrapped: type) -> type:
    """`@parameterNodeWrapper`."""
    hints = typing.get_type_hints(wrapped, include_extras=True)
    fields = {name: Field(name, hint, getattr(wrapped, name, None)) for name, hint in hints.items()}

    def start(self: object, node: slicer.vtkMRMLScriptedModuleNode, prefix: str | None = None) -> None:
        self.parameterNode, self._guis, self._updating = node, {}, False

    def as_property(field: Field) -> property:
        return property(
            lambda self: field.read(self.parameterNode), lambda self, value: field.write(self.parameterNode, value)
        )

    def connect_gui(self: object, ui: object) -> int:
        connected = []
        for widget in vars(ui).values():
            name = widget.property("SlicerParameterName") if hasattr(widget, "property") else None
            if name:
                connected.append(Connection(self, fields[name], widget))
        refresh = lambda *_: [connection.write() for connection in connected]  # noqa: E731
        refresh()
        for connection in connected:
            connection.connect()
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, refresh)
        self._guis[tag] = connected
        return tag

    def disconnect_gui(self: object, tag: int) -> None:
        for connection in self._guis.pop(tag, ()):
            connection.disconnect()
            self.RemoveObserver(tag)

    for name, field in fields.items():
        setattr(wrapped, name, as_property(field))
    wrapped.allParameters, wrapped.__init__ = fields, start
    wrapped.connectGui, wrapped.disconnectGui = connect_gui, disconnect_gui
    for method in ("AddObserver", "RemoveObserver", "StartModify", "EndModify", "Modified"):
        setattr(wrapped, method, lambda self, *values, method=method: getattr(self.parameterNode, method)(*values))
    return wrapped


class Connection:
    """One field of a parameter node and the widget that shows it."""

    SIGNALS: typing.ClassVar = {
        "bool": "toggled",
        "int": "valueChanged",
        "float": "valueChanged",
        "choice": "currentIndexChanged",
    }
    SIGNALS |= {"enum": "currentIndexChanged", "str": "textChanged", "path": "currentPathChanged"}

    def __init__(self, parameters: object, field: Field, widget: object) -> None:
        if widget.className() not in FITTING[field.kind]:
            raise RuntimeError(
                f"Unable to create GUI connector from {field.name} ({field.kind}) to {widget.className()}"
            )
        self.parameters, self.field, self.widget = parameters, field, widget
        if field.kind == "node":
            selector = (
                widget.markupsSelectorComboBox() if widget.className() == "qSlicerSimpleMarkupsWidget" else widget
            )
            selector.nodeTypes = [node_type().GetClassName() for node_type in field.node_types]
        elif field.kind in ("choice", "enum"):
            label = getattr(field.type, "label", lambda one: one.name)
            self.values = list(field.choices or field.type)
            widget.clear()
            for value in self.values:
                widget.addItem(str(value) if field.kind == "choice" else label(value))
        elif field.kind in ("int", "float"):
            for note in field.annotations:
                if isinstance(note, WithinRange | Minimum):
                    widget.minimum = note.minimum
                if isinstance(note, WithinRange | Maximum):
                    widget.maximum = note.maximum

    @property
    def signal(self) -> object:
        if self.field.kind == "node":
            return (
                self.widget.markupsNodeChanged
                if self.widget.className() == "qSlicerSimpleMarkupsWidget"
                else self.widget.currentNodeChanged
            )
        return getattr(self.widget, self.SIGNALS[self.field.kind])

    def connect(self) -> None:
        if self.widget.className() != "QLabel":
            self.signal.connect(self.changed)

    def disconnect(self) -> None:
        if self.widget.className() != "QLabel":
            self.signal.disconnect(self.changed)

    def changed(self, *_: object) -> None:
        if not self.parameters._updating:
            setattr(self.parameters, self.field.name, self.read())

    def read(self) -> object:
        widget = self.widget
        match self.field.kind:
            case "node":
                return widget.currentNode()
            case "choice" | "enum":
                return self.values[widget.currentIndex]
            case "bool":
                return widget.checked
            case "path":
                return self.field.type(widget.currentPath)
            case "str":
                return widget.text
        return self.field.type(widget.value)

    def write(self) -> None:
        value, widget = getattr(self.parameters, self.field.name), self.widget
        self.parameters._updating = True
        match self.field.kind:
            case "node":
                widget.setCurrentNode(value)
            case "choice" | "enum":
                widget.currentIndex = self.values.index(value)
            case "bool":
                widget.checked = value
            case "path":
                widget.currentPath = str(value)
            case "str":
                widget.text = value
            case _:
                widget.value = value
        self.parameters._updating = False


# slicer.ScriptedLoadableModule


class ScriptedLoadableModule:
    def __init__(self, parent: object) -> None:
        self.parent, self.moduleName = parent, type(self).__name__

    def resourcePath(self, name: str) -> str:
        return str(MODULE_FOLDER / "Resources" / name)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return ""


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


class Application:
    """`slicer.app`, and what a test asks of it."""

    def __init__(self, scene: slicer.vtkMRMLScene, folder: Path) -> None:
        self._logic, self._folder, self._slots, self._widgets = application_logic_of(scene), folder, {}, {}
        self.errors: list[str] = []
        self.temporaryPath = self.cachePath = str(folder)
        self.arrangement = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView

    # as Slicer has it
    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return self._logic

    def connect(self, signal: str, slot: Callable) -> None:
        self._slots.setdefault(signal, []).append(slot)

    def disconnect(self, signal: str, slot: Callable) -> None:
        self._slots[signal].remove(slot)

    def testingEnabled(self) -> bool:
        return False

    def layoutManager(self) -> Application:
        return self

    @property
    def layout(self) -> int:
        return self.arrangement

    def setLayout(self, arrangement: int) -> None:
        self.arrangement = arrangement

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
        """What the Reload button does: the new file, then the old widget's cleanup, then a new widget."""
        old = self._widgets[name]
        self._execute(name)
        old.cleanup()
        return self.open_module(name)

    def wait(self, condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
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
            (slicer, "modules"): types.SimpleNamespace(),
            (slicer.util, "errorDisplay"): error_display,
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
    wrapper = {one.__name__: one for one in (Choice, WithinRange, Minimum, Maximum, Default)}
    return {
        "qt": qt_stand_ins.QtModule() if qt_stand_ins else made("qt"),
        "ctk": qt_stand_ins.CtkModule() if qt_stand_ins else made("ctk"),
        "slicer.i18n": made("slicer.i18n", tr=lambda text: text, translate=lambda context, text: text),
        "slicer.ScriptedLoadableModule": made(
            "slicer.ScriptedLoadableModule",
            __all__=[one.__name__ for one in classes],
            **{one.__name__: one for one in classes},
        ),
        "slicer.parameterNodeWrapper": made(
            "slicer.parameterNodeWrapper", parameterNodeWrapper=parameter_node_wrapper, **wrapper
        ),
    }
