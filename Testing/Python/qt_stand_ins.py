"""Slicer's `qt` and `ctk` modules on top of Qt for Python (PySide6), with PythonQt's manners: properties are
attributes, unknown ones an error.

Slicer's own widgets are plain stand-ins that look alike and have the few properties, signals and slots that the modules
use; whether those exist in the real classes is what `widget_api.json` is for. Nothing here knows the project's modules.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import shiboken6
import slicer
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import Property, Qt, Signal, Slot


def application() -> QtWidgets.QApplication:
    """The one application object."""
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["stand-in", "-platform", "offscreen"])


def process_events(milliseconds: int = 0) -> None:
    """Lets timers fire and signals arrive."""
    application().processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, milliseconds)


# PythonQt's manners

_recorder: set[tuple[str, str, str]] | None = None


@contextmanager
def recorded() -> Iterator[set[tuple[str, str, str]]]:
    """Collects what is asked of widgets while the block runs: (class, "properties" | "signals" | "methods", name or
    signature).
    """
    global _recorder  # noqa: PLW0603
    _recorder = used = set()
    try:
        yield used
    finally:
        _recorder = None


def _record(wrapped: object, kind: str, name: str) -> None:
    if _recorder is not None and isinstance(wrapped, QtWidgets.QWidget):
        _recorder.add((type(wrapped).__name__, kind, name))


class Facade:
    """One Qt object as PythonQt shows it."""

    def __init__(self, wrapped: object) -> None:
        object.__setattr__(self, "_wrapped", wrapped)

    def __getattr__(self, name: str) -> object:
        wrapped = self._wrapped
        if isinstance(wrapped, QtCore.QObject):
            if name == "name":
                return wrapped.objectName()
            if wrapped.metaObject().indexOfProperty(name) >= 0:
                _record(wrapped, "properties", name)
                return wrap(wrapped.property(name))
        value = getattr(wrapped, name)
        _record(wrapped, "signals" if isinstance(value, QtCore.SignalInstance) else "methods", name)
        return (
            SignalFacade(value)
            if isinstance(value, QtCore.SignalInstance)
            else _method(value)
            if callable(value)
            else wrap(value)
        )

    def __setattr__(self, name: str, value: object) -> None:
        wrapped = self._wrapped
        if name == "name":
            name = "objectName"
        if not isinstance(wrapped, QtCore.QObject) or wrapped.metaObject().indexOfProperty(name) < 0:
            raise AttributeError(f"{type(wrapped).__name__} has no property {name}")
        _record(wrapped, "properties", name)
        wrapped.setProperty(name, list(value) if isinstance(value, tuple) else unwrap(value))

    def connect(self, signature: str, slot: object) -> bool:
        _record(self._wrapped, "signals", signature)
        return (
            getattr(self._wrapped, signature.partition("(")[0]).connect(_slot(slot, signature, id(self._wrapped)))
            is not None
        )

    def disconnect(self, signature: str, slot: object) -> bool:
        done = getattr(self._wrapped, signature.partition("(")[0]).disconnect(_slot(slot, signature, id(self._wrapped)))
        _SLOTS.pop((slot, signature, id(self._wrapped)), None)
        return done

    def className(self) -> str:
        return type(self._wrapped).__name__

    def __eq__(self, other: object) -> bool:
        return unwrap(other) is self._wrapped

    def __hash__(self) -> int:
        return id(self._wrapped)

    def __repr__(self) -> str:
        return f"<{type(self._wrapped).__name__} {self._wrapped.objectName() if isinstance(self._wrapped, QtCore.QObject) else ''}>"


class SignalFacade:
    """A signal taken as an attribute."""

    def __init__(self, signal: QtCore.SignalInstance) -> None:
        self._signal = signal

    def connect(self, slot: object) -> None:
        self._signal.connect(_slot(slot, ""))

    def disconnect(self, slot: object) -> None:
        self._signal.disconnect(_slot(slot, ""))

    def emit(self, *values: object) -> None:
        self._signal.emit(*map(unwrap, values))


_SLOTS: dict[tuple[object, str, int], object] = {}


def _slot(slot: object, signature: str, sender: int = 0) -> object:
    """The same wrapper for the same slot of the same sender, so that it can be disconnected.

    It is called with as many arguments as the signature has, wrapped.
    """
    if isinstance(slot, SignalFacade):
        return slot._signal
    count = None
    if signature:
        inside = signature.partition("(")[2].rstrip(")")
        count = len(inside.split(",")) if inside else 0

    def call(*values: object) -> None:
        slot(*[wrap(value) for value in (values if count is None else values[:count])])

    return _SLOTS.setdefault((slot, signature, sender), call)


def wrap(value: object) -> object:
    """Qt objects as facades, everything else as it is."""
    if isinstance(value, list | tuple):
        return type(value)(wrap(one) for one in value)
    return Facade(value) if isinstance(value, QtCore.QObject) else value


def unwrap(value: object) -> object:
    """The inverse of `wrap`."""
    if isinstance(value, Facade):
        return value._wrapped
    if isinstance(value, list | tuple):
        return type(value)(unwrap(one) for one in value)
    return value


def _method(function: object) -> object:
    def call(*values: object, **named: object) -> object:
        values = [
            _slot(value, "") if callable(value) and not isinstance(value, Facade) else unwrap(value) for value in values
        ]
        return wrap(function(*values, **{name: unwrap(value) for name, value in named.items()}))

    return call


class ClassFacade:
    """A Qt class: called it gives an object, its attributes are enumerations and static methods."""

    def __init__(self, wrapped: type) -> None:
        self._wrapped = wrapped

    def __call__(self, *values: object) -> object:
        application()
        return wrap(self._wrapped(*map(unwrap, values)))

    def __getattr__(self, name: str) -> object:
        value = getattr(self._wrapped, name)
        return _method(value) if callable(value) and not isinstance(value, type) else value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassFacade) and other._wrapped is self._wrapped

    def __hash__(self) -> int:
        return id(self._wrapped)


# Slicer's and ctk's widgets


class qMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)

    @Slot(object)
    def setMRMLScene(self, scene: object) -> None:
        self._scene = scene
        for child in self.findChildren(QtWidgets.QWidget):
            if hasattr(child, "setMRMLScene") and child is not self:
                child.setMRMLScene(scene)  # in a .ui file these are connections, which another test looks at
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> object:
        return getattr(self, "_scene", None)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """Lists the scene's nodes of some classes; of those with an attribute where one is asked for."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node_types, self._attributes, self._scene, self._tags, self._options = (
            [],
            {},
            None,
            [],
            {"noneDisplay": "None"},
        )
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.currentIndexChanged.connect(lambda _: self.currentNodeChanged.emit(self.currentNode()))

    def _option(name: str, kind: type, default: object) -> Property:
        return Property(
            kind,
            lambda self: self._options.get(name, default),
            lambda self, value: self._options.__setitem__(name, value),
        )

    showHidden = _option("showHidden", bool, False)
    showChildNodeTypes = _option("showChildNodeTypes", bool, True)
    hideChildNodeTypes = _option("hideChildNodeTypes", "QStringList", [])
    noneEnabled = _option("noneEnabled", bool, False)
    addEnabled = _option("addEnabled", bool, True)
    removeEnabled = _option("removeEnabled", bool, True)
    editEnabled = _option("editEnabled", bool, False)
    renameEnabled = _option("renameEnabled", bool, False)
    selectNodeUponCreation = _option("selectNodeUponCreation", bool, True)
    baseName = _option("baseName", str, "")
    noneDisplay = _option("noneDisplay", str, "None")

    def _set_node_types(self, types: list[str]) -> None:
        self._node_types = list(types)
        self._refresh()

    nodeTypes = Property("QStringList", lambda self: self._node_types, _set_node_types)

    def addAttribute(self, node_type: str, name: str, value: str | None = None) -> None:
        self._attributes.setdefault(node_type, []).append((name, value))
        self._refresh()

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, events = (
            scene,
            (
                slicer.vtkMRMLScene.NodeAddedEvent,
                slicer.vtkMRMLScene.NodeRemovedEvent,
                slicer.vtkMRMLScene.EndCloseEvent,
            ),
        )
        self._tags = [scene.AddObserver(event, lambda *_: self._refresh()) for event in events] if scene else []
        self._refresh()

    def _lists(self, node: slicer.vtkMRMLNode) -> bool:
        for node_type in self._node_types:
            if node.IsA(node_type) if self.showChildNodeTypes else node.GetClassName() == node_type:
                wanted = self._attributes.get(node_type, [])
                if all(
                    node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
                    for name, value in wanted
                ):
                    return (
                        not any(node.IsA(hidden) for hidden in self.hideChildNodeTypes)
                        and not node.GetHideFromEditors()
                    )
        return False

    def _refresh(self) -> None:
        current = self.currentNode()
        blocked = self.blockSignals(True)
        self.clear()
        if self.noneEnabled:
            self.addItem(self.noneDisplay, None)
        nodes = (
            []
            if self._scene is None
            else [self._scene.GetNthNode(number) for number in range(self._scene.GetNumberOfNodes())]
        )
        for node in filter(self._lists, nodes):
            self.addItem(node.GetName(), node.GetID())
        self._select(current)
        self.blockSignals(blocked)
        if self.currentNode() is not current:
            self.currentNodeChanged.emit(self.currentNode())

    def _select(self, node: slicer.vtkMRMLNode | None) -> None:
        wanted = node.GetID() if node is not None else None
        self.setCurrentIndex(
            next((row for row in range(self.count()) if self.itemData(row) == wanted), 0 if self.noneEnabled else -1)
        )

    @Slot(object)
    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self._select(node)

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        node_id = self.currentData()
        return self._scene.GetNodeByID(node_id) if node_id and self._scene is not None else None

    def nodeCount(self) -> int:
        return self.count() - bool(self.noneEnabled)

    def nodeFromIndex(self, index: int) -> slicer.vtkMRMLNode | None:
        return self._scene.GetNodeByID(self.itemData(index + bool(self.noneEnabled)))


class qSlicerSimpleMarkupsWidget(QtWidgets.QWidget):
    markupsNodeChanged = Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._selector, self._table = qMRMLNodeComboBox(), QtWidgets.QTableWidget(0, 4)
        self._selector.noneEnabled = True
        self._selector.nodeTypes = ["vtkMRMLMarkupsFiducialNode"]
        self._table.setHorizontalHeaderLabels(["Label", "R", "A", "S"])
        self._table.horizontalHeader().setSectionResizeMode(QtWidgets.QHeaderView.ResizeMode.Stretch)
        top, column = QtWidgets.QHBoxLayout(), QtWidgets.QVBoxLayout(self)
        place = QtWidgets.QToolButton(text="\u2295")
        place.setToolTip("Place control points")
        top.addWidget(self._selector)
        top.addWidget(place)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(top)
        column.addWidget(self._table)
        self._selector.currentNodeChanged.connect(self._changed)
        self._options = {}

    def _option(name: str, kind: type, default: object) -> Property:
        return Property(
            kind,
            lambda self: self._options.get(name, default),
            lambda self, value: self._options.__setitem__(name, value),
        )

    enterPlaceModeOnNodeChange = _option("enterPlaceModeOnNodeChange", bool, True)
    jumpToSliceEnabled = _option("jumpToSliceEnabled", bool, False)
    optionsVisible = _option("optionsVisible", bool, True)
    positionStatusColumnVisible = _option("positionStatusColumnVisible", bool, False)
    nodeSelectorVisible = Property(
        bool, lambda self: not self._selector.isHidden(), lambda self, shown: self._selector.setVisible(shown)
    )

    def _changed(self, node: slicer.vtkMRMLNode | None) -> None:
        count = node.GetNumberOfControlPoints() if node is not None else 0
        self._table.setRowCount(count)
        for row in range(count):
            for column, text in enumerate(
                (node.GetNthControlPointLabel(row), *(f"{x:.2f}" for x in node.GetNthControlPointPosition(row)))
            ):
                self._table.setItem(row, column, QtWidgets.QTableWidgetItem(text))
        self.markupsNodeChanged.emit()

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        self._selector.setMRMLScene(scene)

    @Slot(object)
    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self._selector.setCurrentNode(node)

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        return self._selector.currentNode()

    def markupsSelectorComboBox(self) -> qMRMLNodeComboBox:
        return self._selector

    def tableWidget(self) -> QtWidgets.QTableWidget:
        return self._table

    def setNodeBaseName(self, name: str) -> None:
        self._selector.baseName = name

    def setDefaultNodeColor(self, color: QtGui.QColor) -> None:
        self._color = color


class qSlicerMarkupsPlaceWidget(QtWidgets.QWidget):
    """The buttons that place and delete points; here `placeModeEnabled` only remembers."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for text in ("\u25cf", "\u2295", "\u2297"):
            row.addWidget(QtWidgets.QToolButton(text=text))
        self._node, self._placing, self._persistent = None, False, False

    placeModeEnabled = Property(bool, lambda self: self._placing, lambda self, on: setattr(self, "_placing", on))
    placeModePersistency = Property(
        bool, lambda self: self._persistent, lambda self, on: setattr(self, "_persistent", on)
    )

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        pass

    @Slot(object)
    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self._node = node
        self._placing = self._placing and node is not None


class qMRMLSequenceBrowserPlayWidget(QtWidgets.QWidget):
    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        style = QtWidgets.QStyle.StandardPixmap
        for name in ("SkipBackward", "SeekBackward", "Play", "SeekForward", "SkipForward"):
            pixmap = getattr(style, f"SP_Media{name}")
            button = QtWidgets.QToolButton()
            button.setIcon(self.style().standardIcon(pixmap))
            row.addWidget(button)

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        pass

    @Slot(object)
    def setMRMLSequenceBrowserNode(self, browser: slicer.vtkMRMLSequenceBrowserNode | None) -> None:
        self._browser = browser
        self.setEnabled(browser is not None)


class qMRMLSequenceBrowserSeekWidget(QtWidgets.QWidget):
    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._slider, self._label = QtWidgets.QSlider(Qt.Orientation.Horizontal), QtWidgets.QLabel("0")
        row.addWidget(self._slider)
        row.addWidget(self._label)
        self._browser, self._tag = None, None
        self._slider.valueChanged.connect(self._show)

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        pass

    @Slot(object)
    def setMRMLSequenceBrowserNode(self, browser: slicer.vtkMRMLSequenceBrowserNode | None) -> None:
        if self._tag is not None:
            self._browser.RemoveObserver(self._tag)
        self._browser = browser
        self._tag = browser.AddObserver("ModifiedEvent", lambda *_: self._update()) if browser is not None else None
        self._update()

    def _update(self) -> None:
        if not shiboken6.isValid(self):  # the panel is gone, its browser is not
            return
        browser = self._browser
        self.setEnabled(browser is not None)
        if browser is not None and browser.GetMasterSequenceNode() is not None:
            shown = browser.GetSelectedItemNumber()
            self._slider.blockSignals(True)
            self._slider.setRange(0, max(browser.GetNumberOfItems() - 1, 0))
            self._slider.setValue(shown)
            self._slider.blockSignals(False)
            self._label.setText(
                f"{browser.GetFormattedIndexValue(shown)} {browser.GetMasterSequenceNode().GetIndexUnit()}"
            )

    def _show(self, item: int) -> None:
        self._browser.SetSelectedItemNumber(item)


class ctkCollapsibleButton(QtWidgets.QWidget):
    HEADER = 26
    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.setContentsMargins(0, self.HEADER, 0, 0)
        self.setMinimumHeight(self.HEADER)

    def _set_text(self, text: str) -> None:
        self._text = text

    def _set_collapsed(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        self._show_children()
        self.setMaximumHeight(self.HEADER if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    def _show_children(self) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(not self._collapsed)

    text = Property(str, lambda self: self._text, _set_text)
    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        if self._collapsed:
            self._show_children()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), self.HEADER - 3)
        self.style().drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        painter.drawText(option.rect.adjusted(24, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self._text)
        painter.drawText(
            option.rect.adjusted(8, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, "\u25b8" if self._collapsed else "\u25be"
        )


class ctkSliderWidget(QtWidgets.QWidget):
    valueChanged = Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._box = QtWidgets.QSlider(Qt.Orientation.Horizontal), QtWidgets.QDoubleSpinBox()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._box)
        self._slider.setRange(0, 1000)
        self._slider.valueChanged.connect(
            lambda step: self._box.setValue(self.minimum + step / 1000 * (self.maximum - self.minimum))
        )
        self._box.valueChanged.connect(self.valueChanged)

    minimum = Property(float, lambda self: self._box.minimum(), lambda self, value: self._box.setMinimum(value))
    maximum = Property(float, lambda self: self._box.maximum(), lambda self, value: self._box.setMaximum(value))
    singleStep = Property(
        float, lambda self: self._box.singleStep(), lambda self, value: self._box.setSingleStep(value)
    )
    decimals = Property(int, lambda self: self._box.decimals(), lambda self, value: self._box.setDecimals(value))
    suffix = Property(str, lambda self: self._box.suffix(), lambda self, value: self._box.setSuffix(value))
    value = Property(float, lambda self: self._box.value(), lambda self, value: self._box.setValue(value))


class ctkPathLineEdit(QtWidgets.QWidget):
    currentPathChanged = Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._edit = QtWidgets.QLineEdit()
        row.addWidget(self._edit)
        row.addWidget(QtWidgets.QToolButton(text="\u2026"))
        self._edit.textChanged.connect(self.currentPathChanged)

    currentPath = Property(str, lambda self: self._edit.text(), lambda self, path: self._edit.setText(path))


SLICER_WIDGETS = (
    qMRMLWidget,
    qMRMLNodeComboBox,
    qSlicerSimpleMarkupsWidget,
    qSlicerMarkupsPlaceWidget,
    qMRMLSequenceBrowserPlayWidget,
    qMRMLSequenceBrowserSeekWidget,
)
CTK_WIDGETS = (ctkCollapsibleButton, ctkSliderWidget, ctkPathLineEdit)


class QtModule:
    """`import qt`."""

    def __getattr__(self, name: str) -> object:
        for module in (QtWidgets, QtCore, QtGui):
            if hasattr(module, name):
                value = getattr(module, name)
                return ClassFacade(value) if isinstance(value, type) and name != "Qt" else value
        raise AttributeError(f"module qt has no attribute {name}")


class CtkModule:
    """`import ctk`."""

    def __getattr__(self, name: str) -> object:
        for widget in CTK_WIDGETS:
            if widget.__name__ == name:
                return ClassFacade(widget)
        raise AttributeError(f"the stand-in of ctk has no {name}: add it to qt_stand_ins.py")


def load_ui(path: str | Path) -> Facade:
    """What `slicer.util.loadUI` does. Fails on a widget class that has no stand-in."""
    application()
    known = {widget.__name__: widget for widget in (*SLICER_WIDGETS, *CTK_WIDGETS)}

    class Loader(QtUiTools.QUiLoader):
        def createWidget(
            self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = ""
        ) -> QtWidgets.QWidget:
            if class_name in known:
                widget = known[class_name](parent)
                widget.setObjectName(name)
                return widget
            if class_name not in self.availableWidgets():
                raise LookupError(f"{Path(path).name}: no stand-in for {class_name}; add one to qt_stand_ins.py")
            return super().createWidget(class_name, parent, name)

    # Connections are to signals with C++ types, which no Python class has; the stand-ins hand the scene on themselves,
    # another test reads them.
    text = re.sub(r"<connections>.*</connections>", "", Path(path).read_text(encoding="utf-8"), flags=re.DOTALL)
    buffer = QtCore.QBuffer()
    buffer.setData(text.encode())
    buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    widget = Loader().load(buffer)
    if widget is None:
        raise RuntimeError(f"{path}: Qt cannot load this panel")
    return Facade(widget)


def child_variables(root: Facade) -> object:
    """What `slicer.util.childWidgetVariables` does."""
    variables = type("Variables", (), {})()
    for child in root._wrapped.findChildren(QtCore.QObject):
        if child.objectName() and not child.objectName().startswith("qt_"):
            setattr(variables, child.objectName(), Facade(child))
    return variables


def render(root: Facade, path: str | Path, width: int) -> QtGui.QImage:
    """Draws a panel at a width as tall as it needs and writes a PNG."""
    widget = root._wrapped
    widget.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    widget.resize(width, 100)
    widget.show()
    process_events()
    layout = widget.layout()
    height = layout.totalHeightForWidth(width) if layout.hasHeightForWidth() else layout.totalSizeHint().height()
    widget.resize(width, height)
    process_events()
    picture = widget.grab().toImage()
    picture.save(str(path))
    return picture
