"""What the real widget classes offer to Python.

`widget_api.json` holds the properties, signals, slots and invokable methods of Slicer's and CTK's widgets, read in
their headers at the commits that it names; Qt's own classes are asked themselves (Qt 6's, from Qt for Python).
"""

import json
from pathlib import Path

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
    real = next(
        (getattr(module, class_name) for module in (QtWidgets, QtCore, QtGui) if hasattr(module, class_name)), None
    )
    assert real is not None, f"{class_name} is neither in widget_api.json nor a class of Qt"
    meta, name = real.staticMetaObject, wanted.partition("(")[0]
    properties = {meta.property(number).name() for number in range(meta.propertyCount())}
    if kind == "properties":
        return wanted in properties
    if kind == "methods":
        return callable(getattr(real, name, None)) and name not in properties
    if "(" not in wanted:
        return any(meta.method(number).name().data().decode() == wanted for number in range(meta.methodCount()))
    signature = QtCore.QMetaObject.normalizedSignature(wanted).data().decode()
    return meta.indexOfSignal(signature) >= 0 if kind == "signals" else meta.indexOfMethod(signature) >= 0


def check_recorded(used: set[tuple[str, str, str]]) -> None:
    """Fails on what `qt_stand_ins.recorded` saw and the real class does not have."""
    for class_name, kind, wanted in sorted(used):
        if class_name in API:
            assert knows(class_name, kind, wanted) or knows(class_name, "slots", wanted), (
                f"{class_name} has no {wanted} ({kind})"
            )
        elif kind == "signals":
            assert knows(class_name, kind, wanted), f"{class_name} has no signal {wanted}"
