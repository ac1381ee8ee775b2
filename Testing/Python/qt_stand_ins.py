"""Slicer's `qt` and `ctk` modules on top of Qt for Python (PySide6), with PythonQt's manners: properties are
attributes, unknown ones an error.

Slicer's own widgets are in widget_stand_ins.py. Nothing here knows the project's modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import Qt
from vtkmodules.util.numpy_support import vtk_to_numpy

from widget_stand_ins import WIDGETS


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


_around_slots: Callable[[object], AbstractContextManager[None]] | None = None


@contextmanager
def around_slots(make: Callable[[object], AbstractContextManager[None]]) -> Iterator[None]:
    """Calls every slot inside `make(slot)` while the block runs, as a benchmark does that times them."""
    global _around_slots  # noqa: PLW0603
    _around_slots = make
    try:
        yield
    finally:
        _around_slots = None


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


class SignalFacade:
    """A signal taken as an attribute."""

    def __init__(self, signal: QtCore.SignalInstance) -> None:
        self._signal = signal

    def connect(self, slot: object) -> None:
        self._signal.connect(_slot(slot, ""))

    def disconnect(self, slot: object) -> None:
        self._signal.disconnect(_slot(slot, ""))


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
        around = _around_slots(slot) if _around_slots is not None else nullcontext()
        with around:
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

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        """The class itself, for a Python class that extends it."""
        return (self._wrapped,)

    def __getattr__(self, name: str) -> object:
        value = getattr(self._wrapped, name)
        return _method(value) if callable(value) and not isinstance(value, type) else value


class QtModule:
    """`import qt`."""

    def __getattr__(self, name: str) -> object:
        for module in (QtWidgets, QtCore, QtGui):
            if hasattr(module, name):
                value = getattr(module, name)
                return ClassFacade(value) if isinstance(value, type) and name != "Qt" else value
        raise AttributeError(f"module qt has no attribute {name}")


class MRMLUtils:
    """`slicer.qMRMLUtils()`, as far as the modules use it."""

    def vtkImageDataToQImage(self, data: object, image: QtGui.QImage) -> bool:
        """Fills a QImage with an image of red, green and blue, whose first row is the lowest.

        Only bytes give a picture, as in CTK's `vtkImageDataToQImage`; the real one takes 1 and 4 components too.
        """
        width, height, _ = data.GetDimensions()
        if data.GetScalarTypeAsString() != "unsigned char" or data.GetNumberOfScalarComponents() != 3:
            image.swap(QtGui.QImage())
            return False
        colors = vtk_to_numpy(data.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()
        made = QtGui.QImage(colors.data, width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
        image.swap(made.copy())
        return True


def load_ui(path: str | Path) -> Facade:
    """What `slicer.util.loadUI` does. Fails on a widget class that has no stand-in."""
    application()
    known = {widget.__name__: widget for widget in WIDGETS}

    class Loader(QtUiTools.QUiLoader):
        def createWidget(
            self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = ""
        ) -> QtWidgets.QWidget:
            if class_name in known:
                widget = known[class_name](parent)
                widget.setObjectName(name)
                return widget
            if class_name not in self.availableWidgets():
                raise LookupError(f"{Path(path).name}: no stand-in for {class_name}; add one to widget_stand_ins.py")
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
