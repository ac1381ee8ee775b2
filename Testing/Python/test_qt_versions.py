"""The panels run with Qt 5 and with Qt 6: Slicer 5.10 and 5.12 are built with 5.15, its main branch with 6 as well.

What widgets are asked for is checked by `widget_api`, which knows both versions; here is what the sources name.
"""

import ast
import re
import xml.etree.ElementTree as ET

import pytest

import qt5_api
import slicer_stand_ins
from slicer_stand_ins import MODULE_FOLDER
from widget_api import knows

pytestmark = pytest.mark.skipif(
    slicer_stand_ins.qt_stand_ins is None, reason="needs Qt for Python: pip install --editable '.[test]'"
)
SOURCES = sorted(MODULE_FOLDER.rglob("*.py"))
PANELS = sorted(MODULE_FOLDER.rglob("*.ui"))
GONE = re.compile(r"\b(QRegExp|QDesktopWidget|QStringRef|QTextCodec|QSignalMapper|QGLWidget|QMatrix|MidButton)\b")
"""Classes and values that Qt 6 no longer has, in a text: none is named, not in a comment either."""


def names_of_qt(code):
    """`qt.Qt.AlignLeft` as ("Qt", "AlignLeft"), `qt.QTimer()` as ("QTimer", ""), with the line."""
    found, inner = [], set()
    for node in ast.walk(ast.parse(code)):  # from the outside in
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        parts, one = [], node
        while isinstance(one, ast.Attribute):
            inner.add(id(one))
            parts.append(one.attr)
            one = one.value
        if isinstance(one, ast.Name) and one.id == "qt":
            name, *rest = reversed(parts)
            found.append((name, rest[0] if rest else "", node.lineno))
    return found


def in_both(class_name, member):
    """Whether both versions have a class and, where one is named, its method, enumeration or value."""
    qt6 = getattr(slicer_stand_ins.qt_stand_ins.QtModule(), class_name, None)
    return (
        qt6 is not None
        and class_name in qt5_api.QT5
        and (not member or (hasattr(qt6, member) and qt5_api.has(class_name, "members", member)))
    )


@pytest.mark.parametrize(
    ("class_name", "member", "expected"),
    [
        ("Qt", "AlignLeft", True),
        ("QMessageBox", "AcceptRole", True),
        ("QFileDialog", "getOpenFileName", True),
        ("QTimer", "singleShot", True),
        ("QRegExp", "", False),  # Qt 5 only
        ("QDesktopWidget", "", False),
        ("Qt", "MidButton", False),
        ("QPalette", "Background", False),
        ("QPermission", "", False),  # Qt 6 only
        ("Qt", "ColorScheme", False),
    ],
)
def test_names_of_one_version_are_told_apart(class_name, member, expected):
    assert in_both(class_name, member) is expected


def test_signals_and_properties_of_one_version_are_told_apart():
    assert knows("QComboBox", "signals", "currentIndexChanged(int)")
    assert not knows("QComboBox", "signals", "currentIndexChanged(QString)")  # Qt 5 only
    assert not knows("QCheckBox", "signals", "checkStateChanged(Qt::CheckState)")  # Qt 6.7 and later
    assert knows("QLabel", "properties", "wordWrap")
    assert not knows("QComboBox", "properties", "labelDrawingMode")  # Qt 6 only


def test_every_name_of_qt_is_in_both_versions():
    uses = [(file, *use) for file in SOURCES for use in names_of_qt(file.read_text(encoding="utf-8"))]
    assert len(uses) > 20
    assert [
        f"{file.name}:{line}: qt.{one}.{member}" for file, one, member, line in uses if not in_both(one, member)
    ] == []


@pytest.mark.parametrize("file", [*SOURCES, *PANELS], ids=lambda file: file.name)
def test_nothing_that_qt_6_dropped_is_named(file):
    assert GONE.findall(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("panel", PANELS, ids=lambda file: file.name)
def test_enumerations_in_a_panel_are_spelled_for_both_versions(panel):
    """Qt 5 does not read `Qt::Orientation::Vertical`; both read `Qt::Vertical`."""
    values = [value for kind in ("enum", "set") for one in ET.parse(panel).iter(kind) for value in one.text.split("|")]
    assert values
    for value in values:
        assert re.fullmatch(r"\w+::\w+", value), f"{value}: Class::Value"
        assert in_both(*value.split("::")), value


@pytest.mark.parametrize("panel", PANELS, ids=lambda file: file.name)
def test_properties_of_layouts_are_in_both_versions(panel):
    """`margin` and `spacing` of a form layout, for example, are Designer's own words; `QLayout.margin` is Qt 5's."""
    designer = {"leftMargin", "topMargin", "rightMargin", "bottomMargin", "horizontalSpacing", "verticalSpacing"}
    for layout in ET.parse(panel).iter("layout"):
        for entry in layout.findall("property"):
            name = entry.get("name")
            assert name in designer or knows(layout.get("class"), "properties", name), f"{layout.get('class')}.{name}"
