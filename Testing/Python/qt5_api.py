"""What Qt 5.15 has: classes, enumeration values, methods, properties and signals, for code that must run with it and
with Qt 6.

`qt5_api.json` is written by this file where PyQt5 is installed, which no test needs:

    python -m pip install PyQt5 && python Testing/Python/qt5_api.py
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

HELD = Path(__file__).with_suffix(".json")
OF_CORE_AND_GUI = frozenset(
    """
    Qt QObject QCoreApplication QGuiApplication QTimer QSettings QUrl QEvent QKeyEvent QMouseEvent QSize
    QSizeF QPoint QPointF QRect QRectF QLineF QDir QFileInfo QProcess QDateTime QByteArray QBuffer
    QItemSelectionModel QPixmap QIcon QImage QColor QFont QFontMetrics QKeySequence QPalette QPainter
    QPainterPath QPen QBrush QCursor QPolygonF QTransform QClipboard QDesktopServices QStandardItem
    QStandardItemModel QPaintDevice QIODevice
    """.split()  # noqa: SIM905
)
"""The classes of QtCore and QtGui that are held, beside those of QtWidgets."""

RARE = ("QGraphics", "QStyle", "QGesture", "QAccessible", "QUndo", "QWizard", "QMdi", "QPlainText", "QColumn", "QLCD")
"""Classes of QtWidgets that no panel uses are not held."""


def held() -> dict[str, dict[str, list[str]]]:
    """Returns what every class adds to those that it extends, in the kinds "extends", "members" (methods, enumerations
    and their values), "properties", "signals" and "slots".
    """
    classes = json.loads(HELD.read_text(encoding="utf-8"))["classes"]
    return {name: {kind: text.split() for kind, text in parts.items()} for name, parts in classes.items()}


QT5 = held() if HELD.is_file() else {}


def has(class_name: str, kind: str, wanted: str) -> bool:
    """Whether a class of Qt 5.15, or one it extends, has what is wanted; a signature or a name of a signal or slot."""
    ahead = [class_name]
    while ahead:
        entry = QT5.get(ahead.pop())
        if entry is None:
            continue
        if any(wanted in (one, one.partition("(")[0]) for one in entry.get(kind, ())):
            return True
        ahead += entry.get("extends", ())
    return False


def read() -> dict[str, dict[str, str]]:
    """The table, from PyQt5."""
    classes = {}
    for module in (importlib.import_module(f"PyQt5.{name}") for name in ("QtCore", "QtGui", "QtWidgets")):
        for name, one in vars(module).items():
            of_widgets = module.__name__.endswith("QtWidgets") and not name.startswith(RARE)
            if not isinstance(one, type) or not (of_widgets or name in OF_CORE_AND_GUI):
                continue
            parts = {
                "extends": [base.__name__ for base in one.__bases__ if base.__name__.startswith("Q")],
                "members": [
                    member for member in vars(one) if not member.startswith("_") and not member.endswith("Event")
                ],
            }
            meta = getattr(one, "staticMetaObject", None)
            if meta is not None and meta.className() == name:
                numbers = range(meta.propertyOffset(), meta.propertyCount())
                parts["properties"] = [meta.property(number).name() for number in numbers]
                methods = [meta.method(number) for number in range(meta.methodOffset(), meta.methodCount())]
                for kind, of_type in (("signals", meta_type("Signal")), ("slots", meta_type("Slot"))):
                    found = [method for method in methods if method.methodType() == of_type]
                    signatures = [method.methodSignature().data().decode() for method in found]
                    parts[kind] = [one for one in signatures if not one.startswith("_q_")]
            classes[name] = {kind: " ".join(sorted(set(names))) for kind, names in parts.items() if names}
    return dict(sorted(classes.items()))


def meta_type(name: str) -> int:
    from PyQt5 import QtCore

    return getattr(QtCore.QMetaMethod, name)


def main() -> None:
    from PyQt5 import QtCore

    table = {"read_in": f"PyQt5 {QtCore.PYQT_VERSION_STR}, Qt {QtCore.QT_VERSION_STR}", "classes": read()}
    HELD.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
