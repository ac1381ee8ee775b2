"""A thin stand-in for `slicer.parameterNodeWrapper`, which slicer-core lacks.

Values are kept in the same vtkMRMLScriptedModuleNode as Slicer's. Which widget takes which type is `FITTING`, read in
Slicer's Base/Python/slicer/parameterNodeWrapper/guiConnectors.py and
Modules/Loadable/Markups/MarkupsLib/parameterNodeWrapper/guiConnectors.py; types that no module uses are left out.
"""

from __future__ import annotations

import enum
import types
import typing
from dataclasses import dataclass

import slicer
import vtk


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float


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
    "enum": ("QComboBox", "ctkComboBox"),
    "str": ("QLineEdit", "QLabel", "QTextEdit"),
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
        self.kind = self._kind()
        self.default = self._plain_default() if default is None else default

    def _kind(self) -> str:
        if self.node_types:
            return "node"
        if isinstance(self.type, type) and issubclass(self.type, enum.Enum):
            return "enum"
        if self.type in (bool, int, float, str):
            return self.type.__name__
        raise TypeError(f"{self.name}: the stand-in has no serializer for {self.type}")

    def _plain_default(self) -> object:
        if self.kind == "node":
            return None
        return next(iter(self.type)) if self.kind == "enum" else self.type()

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
        if any(not note.minimum <= value <= note.maximum for note in self.annotations):
            raise ValueError(f"{self.name}: {value} is out of range")
        if not isinstance(value, (self.type, int) if self.type is float else self.type):
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
        "enum": "currentIndexChanged",
        "str": "textChanged",
    }

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
        elif field.kind == "enum":
            self.values = list(field.type)
            widget.clear()
            for value in self.values:
                widget.addItem(value.label() if hasattr(value, "label") else value.name)
        elif field.kind in ("int", "float"):
            for note in field.annotations:
                widget.minimum, widget.maximum = note.minimum, note.maximum

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
            case "enum":
                return self.values[widget.currentIndex]
            case "bool":
                return widget.checked
            case "str":
                return widget.text
        return self.field.type(widget.value)

    def write(self) -> None:
        value, widget = getattr(self.parameters, self.field.name), self.widget
        self.parameters._updating = True
        match self.field.kind:
            case "node":
                widget.setCurrentNode(value)
            case "enum":
                widget.currentIndex = self.values.index(value)
            case "bool":
                widget.checked = value
            case "str":
                widget.text = value
            case _:
                widget.value = value
        self.parameters._updating = False
