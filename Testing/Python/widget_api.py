"""What the real widget classes offer to Python.

`widget_api.json` holds the properties, signals, slots and invokable methods of Slicer's and CTK's widgets, read in
their headers at the commits that it names; Qt's own classes must have it in both versions: Qt 6's are asked themselves
(Qt for Python), those of Qt 5.15 are held in `qt5_api.json`.
"""

import json
from pathlib import Path

import qt5_api

try:
    from PySide6 import QtCore, QtGui, QtWidgets
except ImportError:  # the tests that ask of Qt's classes are skipped then
    QtCore = QtGui = QtWidgets = None

API = json.loads((Path(__file__).parent / "widget_api.json").read_text(encoding="utf-8"))["classes"]


def knows(class_name: str, kind: str, wanted: str) -> bool:
    """Whether a class, or one it extends, has what is wanted.

    Args:
        kind: "properties", "signals", "slots" or "methods".
        wanted: a name, or a signature as `connect` takes it.
    """
    while class_name in API:
        entry = API[class_name]
        if any(wanted in (one, one.partition("(")[0]) for one in entry[kind]):
            return True
        class_name = entry["extends"]
    return _qt6_knows(class_name, kind, wanted) and _qt5_knows(class_name, kind, wanted)


def _qt5_knows(class_name: str, kind: str, wanted: str) -> bool:
    if kind == "methods":
        return qt5_api.has(class_name, "members", wanted) and not qt5_api.has(class_name, "properties", wanted)
    if "(" not in wanted and kind != "properties":
        return any(qt5_api.has(class_name, one, wanted) for one in ("signals", "slots", "members"))
    return qt5_api.has(class_name, kind, wanted.replace(" ", ""))


class _Qt6Class:
    """Properties, method names and signatures of a class of Qt, copied: PySide deletes meta-objects with the widgets
    that a test throws away.
    """

    def __init__(self, real: type) -> None:
        meta = real.staticMetaObject
        methods = [meta.method(number) for number in range(meta.methodCount())]
        signal = QtCore.QMetaMethod.MethodType.Signal
        self.real = real
        self.properties = {meta.property(number).name() for number in range(meta.propertyCount())}
        self.names = {method.name().data().decode() for method in methods}
        self.signatures = {method.methodSignature().data().decode() for method in methods}
        self.signals = {method.methodSignature().data().decode() for method in methods if method.methodType() == signal}


_QT6 = {
    name: _Qt6Class(getattr(module, name))
    for module in (QtGui, QtCore, QtWidgets)
    for name in dir(module)
    if hasattr(getattr(module, name), "staticMetaObject")
}


def _qt6_knows(class_name: str, kind: str, wanted: str) -> bool:
    assert class_name in _QT6, f"{class_name} is neither in widget_api.json nor a class of Qt"
    known, name = _QT6[class_name], wanted.partition("(")[0]
    if kind == "properties":
        return wanted in known.properties
    if kind == "methods":
        return callable(getattr(known.real, name, None)) and name not in known.properties
    if "(" not in wanted:
        return wanted in known.names
    signature = QtCore.QMetaObject.normalizedSignature(wanted).data().decode()
    return signature in (known.signals if kind == "signals" else known.signatures)


def check_recorded(used: set[tuple[str, str, str]]) -> None:
    """Fails on what `qt_stand_ins.recorded` saw and the real class does not have."""
    for class_name, kind, wanted in sorted(used):
        if class_name in API:
            assert knows(class_name, kind, wanted) or knows(class_name, "slots", wanted), (
                f"{class_name} has no {wanted} ({kind})"
            )
        elif kind == "signals":
            assert knows(class_name, kind, wanted), f"{class_name} has no signal {wanted}"
        else:  # Qt 6 has it: the stand-in was asked
            known = any(qt5_api.has(class_name, one, wanted) for one in ("properties", "members"))
            assert known, f"{class_name} has no {wanted} in Qt 5"
