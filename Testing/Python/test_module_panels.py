"""Every module in UltrasoundMotion/, checked as far as it can be without the application: its panel, its names, what it
connects, what it installs.

What a widget class really has is in `widget_api`; what a panel uses at run time is recorded by `qt_stand_ins`.
"""

import ast
import functools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import slicer_stand_ins
from parameter_node_stand_ins import FITTING
from slicer_stand_ins import MODULE_FOLDER, module_names, slicer_application
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from widget_api import API, check_recorded, knows

NAMES = module_names()
needs_qt = pytest.mark.skipif(
    slicer_stand_ins.qt_stand_ins is None, reason="needs Qt for Python: pip install --editable '.[test]'"
)
each_module = pytest.mark.parametrize("name", NAMES)
MNEMONIC = re.compile(r"&(\w)")
PANEL_WIDTH = 430
INTERACTIVE = (
    "QPushButton",
    "QComboBox",
    "QCheckBox",
    "QSpinBox",
    "QDoubleSpinBox",
    "QToolButton",
    "ctkSliderWidget",
    "qMRMLNodeComboBox",
)


def panel(name):
    return ET.parse(MODULE_FOLDER / "Resources" / "UI" / f"{name}.ui").getroot()


def widgets_of(name):
    """Class of every widget and layout-free child, by object name."""
    return {widget.get("name"): widget.get("class") for widget in panel(name).iter("widget")}


def sources_of(name):
    """The module file and the shared ones that work on its panel, parsed."""
    shared = [
        path
        for path in (MODULE_FOLDER / "UltrasoundMotionModuleLib").rglob("*.py")
        if path.stem in ("module_widget", "apply_button")
    ]
    return {path: path.read_text(encoding="utf-8") for path in (MODULE_FOLDER / f"{name}.py", *shared)}


def test_there_are_modules():
    assert "LandmarkTracking" in NAMES


@needs_qt
def test_the_table_of_classes_can_say_no():
    assert knows("qMRMLNodeComboBox", "signals", "currentNodeChanged(vtkMRMLNode*)")
    assert not knows("qMRMLNodeComboBox", "signals", "currentNodeChanged(QString)")
    assert not knows("qMRMLNodeComboBox", "signals", "nodeAddedByUserAction(vtkMRMLNode*)")  # not in Slicer 5.10
    assert not knows("qMRMLNodeComboBox", "properties", "currentNode")  # a method, as modules often get wrong
    assert knows("ctkCollapsibleButton", "properties", "checkable")  # of QAbstractButton
    assert knows("QPushButton", "signals", "clicked()")
    assert not knows("QPushButton", "signals", "pressed(int)")
    assert not knows("QLabel", "methods", "setMRMLScene")


@each_module
@pytest.mark.slow
def test_imports_without_the_application_and_stays_light(name):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from slicer_stand_ins import slicer_application\n"
        "from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene\n"
        "with HeadlessScene() as scene, slicer_application(scene) as application:\n"
        "    before = set(sys.modules)\n"
        "    module = application.load_module(sys.argv[2])\n"
        "    heavy = {'torch', 'matplotlib', 'cv2', 'av', 'PIL', 'pydicom'} & (set(sys.modules) - before)\n"
        "    assert not heavy, heavy\n"
        "    parent = module.module.parent\n"
        "    for text in (parent.title, parent.helpText, parent.acknowledgementText):\n"
        "        assert len(text) > 8 and 'template' not in text.lower()\n"
        "    assert 'not for clinical use' in parent.helpText.lower()\n"
        "    assert parent.categories == ['Ultrasound'] and parent.contributors\n"
        "    for suffix in ('Widget', 'Logic', 'Test'): getattr(module, sys.argv[2] + suffix)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@each_module
def test_every_widget_that_the_code_names_is_in_the_panel(name):
    widgets = widgets_of(name)
    assert panel(name).find("widget").get("class") == "qMRMLWidget"
    for path, text in sources_of(name).items():
        named = set(re.findall(r"\bui\.(\w+)", text))
        assert named <= set(widgets), f"{path.name} names {sorted(named - set(widgets))}, which {name}.ui does not have"
    assert {"applyButton", "progressBar", "statusLabel", "commandButton"} <= set(widgets)


@needs_qt
@each_module
def test_what_the_code_asks_of_named_widgets_exists(name):
    widgets = widgets_of(name)
    for path, text in sources_of(name).items():
        for widget, attribute in set(re.findall(r"\bui\.(\w+)\.(\w+)", text)) - {
            (widget, "connect") for widget in widgets
        }:
            if attribute in (
                "connect",
                "disconnect",
                "property",
                "setProperty",
                "visible",
                "enabled",
                "toolTip",
                "name",
            ):
                continue
            kinds = [
                kind
                for kind in ("properties", "signals", "slots", "methods")
                if knows(widgets[widget], kind, attribute)
            ]
            assert kinds, f"{path.name}: {widgets[widget]} has no {attribute} ({widget})"


@each_module
def test_every_parameter_fits_its_widget(name):
    with HeadlessScene() as scene, slicer_application(scene) as application:
        module = application.load_module(name)
        fields = getattr(module, f"{name}Logic")().getParameterNode().allParameters
    shown = {}
    for widget in panel(name).iter("widget"):
        for entry in widget.findall("property"):
            if entry.get("name") == "SlicerParameterName":
                shown.setdefault(entry.findtext("string"), []).append(widget.get("class"))
    for parameter, classes in shown.items():
        assert parameter in fields, f"{name}.ui shows {parameter}, which is no field of the parameter node"
        assert len(classes) == 1, f"{parameter} is shown {len(classes)} times; Slicer connects the last only"
        assert classes[0] in FITTING[fields[parameter].kind], (
            f"{parameter} ({fields[parameter].kind}) cannot be shown by {classes[0]}"
        )
        if classes[0] == "ctkSliderWidget":
            assert any(hasattr(note, "minimum") for note in fields[parameter].annotations), (
                f"{parameter}: a slider needs WithinRange"
            )
    unshown = set(fields) - set(shown)
    source = "".join(
        path.read_text(encoding="utf-8") for path in (MODULE_FOLDER / f"{name}.py", *MODULE_FOLDER.glob("*/**/*.py"))
    )
    assert not [field for field in unshown if f".{field}" not in source], (
        f"fields that nothing shows or uses: {unshown}"
    )


@needs_qt
@each_module
def test_properties_and_connections_in_the_panel_exist(name):
    classes = widgets_of(name)
    for widget in panel(name).iter("widget"):
        for entry in widget.findall("property"):
            if entry.get("stdset") != "0" and entry.get("name") != "buddy":  # Designer's own word for QLabel.setBuddy
                assert knows(widget.get("class"), "properties", entry.get("name")), (
                    f"{widget.get('class')} has no property {entry.get('name')}"
                )
    connected = set()
    for connection in panel(name).iter("connection"):
        sender, signal, receiver, slot = (
            connection.findtext(part) for part in ("sender", "signal", "receiver", "slot")
        )
        assert knows(classes[sender], "signals", signal), f"{classes[sender]} has no signal {signal}"
        assert knows(classes[receiver], "slots", slot), f"{classes[receiver]} has no slot {slot}"
        connected.add((receiver, slot))
    for widget, class_name in classes.items():
        if class_name != "qMRMLWidget" and class_name in API and knows(class_name, "slots", "setMRMLScene"):
            assert (widget, "setMRMLScene(vtkMRMLScene*)") in connected, f"{widget} is never given the scene"
    declared = {entry.findtext("class") for entry in panel(name).iter("customwidget")}
    assert {one for one in classes.values() if one in API} <= declared


@needs_qt
@each_module
def test_what_the_panel_uses_at_run_time_exists(name):
    with (
        HeadlessScene() as scene,
        slicer_application(scene) as application,
        slicer_stand_ins.qt_stand_ins.recorded() as used,
    ):
        widget = application.open_module(name)
        assert widget.ui.applyButton.enabled is False
        assert widget.ui.applyButton.toolTip == widget.ui.statusLabel.text != ""
    check_recorded(used)


@each_module
def test_the_panel_helps(name):
    mnemonics = {}
    for widget in panel(name).iter("widget"):
        properties = {entry.get("name"): entry for entry in widget.findall("property")}
        text = properties["text"].findtext("string") or "" if "text" in properties else ""
        if widget.get("class") in INTERACTIVE:
            assert "toolTip" in properties, f"{widget.get('name')} has no tooltip"
        for letter in MNEMONIC.findall(text):
            assert letter.lower() not in mnemonics, (
                f"Alt+{letter} is both {mnemonics.get(letter.lower())} and {widget.get('name')}"
            )
            mnemonics[letter.lower()] = widget.get("name")
        if "buddy" in properties:
            assert properties["buddy"].findtext("cstring") in widgets_of(name)
    taken = {"c": "Cancel, which the Apply button becomes"} | dict.fromkeys("fevh", "a menu of Slicer's")
    assert not {mnemonics[letter]: owner for letter, owner in taken.items() if letter in mnemonics}


@functools.cache
def calls_in(path):
    """The calls of a file; most files are of all modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@each_module
def test_texts_can_be_translated(name):
    for path in (MODULE_FOLDER / f"{name}.py", *(MODULE_FOLDER / "UltrasoundMotionModuleLib").rglob("*.py")):
        for call in calls_in(path):
            where = f"{path.name}:{call.lineno}"
            if isinstance(call.func, ast.Name) and call.func.id == "_":
                assert all(isinstance(argument, ast.Constant) for argument in call.args), (
                    f"{where}: only literal text in _()"
                )
            if isinstance(call.func, ast.Attribute) and call.func.attr in (
                "showStatus",
                "errorDisplay",
                "tryWithErrorDisplay",
            ):
                assert not any(isinstance(argument, ast.Constant | ast.JoinedStr) for argument in call.args), (
                    f"{where}: text without _()"
                )


@needs_qt
@each_module
def test_the_panel_can_be_drawn_and_nothing_is_cut_off(name, tmp_path):
    qtm = slicer_stand_ins.qt_stand_ins
    with HeadlessScene() as scene, slicer_application(scene) as application:
        widget = application.open_module(name)
        picture = qtm.render(widget.uiWidget, tmp_path / f"{name}.png", PANEL_WIDTH)
        assert picture.width() == PANEL_WIDTH
        assert (
            len({picture.pixel(x, y) for x in range(0, picture.width(), 5) for y in range(0, picture.height(), 5)}) > 8
        )
        for child in widget.uiWidget._wrapped.findChildren(qtm.QtWidgets.QWidget):
            if (
                isinstance(child, qtm.QtWidgets.QLabel | qtm.QtWidgets.QPushButton | qtm.QtWidgets.QCheckBox)
                and child.isVisible()
            ):
                needed = (
                    child.minimumSizeHint().width()
                    if isinstance(child, qtm.QtWidgets.QLabel) and child.wordWrap()
                    else child.sizeHint().width()
                )
                assert child.width() >= needed, f"{child.objectName()} needs {needed} pixels and has {child.width()}"


@needs_qt
@each_module
def test_the_icon_is_drawn_and_square(name):
    image = slicer_stand_ins.qt_stand_ins.QtGui.QImage(str(MODULE_FOLDER / "Resources" / "Icons" / f"{name}.png"))
    assert (image.width(), image.height()) == (128, 128)


def nodes_in(scene):
    return sorted(scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes()))


@needs_qt
@each_module
def test_opened_left_and_closed_it_leaves_nothing_behind(name, capfd):
    with HeadlessScene() as scene, slicer_application(scene) as application:
        counts = []
        for _ in range(3):
            widget = application.open_module(name)
            widget.exit()
            widget.enter()
            widget = application.reload_module(name)
            scene.Clear(False)
            application.close_module(name)
            assert widget.Observations == []
            counts.append((nodes_in(scene), application.connected))
        assert counts[0] == counts[1] == counts[2]
        assert application.errors == []
    assert "Traceback" not in capfd.readouterr().err


def test_requirements_leave_torch_to_its_extension_and_pin_nothing():
    lines = (MODULE_FOLDER / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", line) for line in wanted)
    assert not any(line.startswith(("torch", "opencv", "numpy", "vtk")) for line in wanted)
