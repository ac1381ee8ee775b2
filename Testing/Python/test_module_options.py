"""Options of the modules' calls, and the menus of trackers and methods: both come from the library's declarations."""

import importlib.util
import inspect
from dataclasses import dataclass, fields

import pytest
import slicer

import slicer_stand_ins
from slicer_stand_ins import slicer_application
from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.registration.registry import METHODS
from UltrasoundMotionLib.registry import Registry
from UltrasoundMotionLib.tracking.registry import TRACKERS, available_trackers
from UltrasoundMotionLib.tracking.request import TrackRequest

needs_qt = pytest.mark.skipif(
    slicer_stand_ins.qt_stand_ins is None, reason="needs Qt for Python: pip install --editable '.[test]'"
)


@pytest.fixture
def application():
    with HeadlessScene() as scene, slicer_application(scene) as application:
        application.load_module("LandmarkTracking")
        yield application


@pytest.fixture
def options(application):
    from UltrasoundMotionModuleLib.shared import options

    return options


# Options


def test_a_call_takes_the_fields_of_its_request(options):
    @options.takesOptions(TrackRequest, query_frame=None, model="ncc", spelled={"frame": "query_frame"})
    def track(clip, *, options):
        return options.request(query_frame=7)

    assert track("clip") == TrackRequest(model="ncc", query_frame=7)
    assert track("clip", queryFrame=3, hideGraphics=False) == TrackRequest("ncc", query_frame=3, hide_graphics=False)
    assert track("clip", query_frame=3, watch_shadows=True) == TrackRequest("ncc", query_frame=3, watch_shadows=True)
    assert track("clip", frame=3).query_frame == 3
    assert track("clip", queryFrame=None).query_frame == 7
    whole = TrackRequest(query_frame=2, offline=True)
    assert track("clip", request=whole) == whole
    assert track("clip", request=whole, queryFrame=4) == TrackRequest(query_frame=4, offline=True)
    with pytest.raises(InputError, match="given twice"):
        track("clip", queryFrame=3, query_frame=4)
    with pytest.raises(InputError, match="expected TrackRequest"):
        track("clip", request={"model": "ncc"})
    with pytest.raises(OptionError, match="direction"):
        track("clip", direction="sideways")
    with pytest.raises(TypeError, match="nothing"):
        track("clip", nothing=1)


def test_help_shows_every_option_with_its_default(application):
    from UltrasoundMotionModuleLib.landmark_tracking.logic import LandmarkTrackingLogic

    parameters = inspect.signature(LandmarkTrackingLogic.track).parameters
    assert {one.name for one in fields(TrackRequest)} <= set(parameters)
    assert parameters["hide_graphics"].default is True
    assert parameters["query_frame"].default is None  # the frame shown
    assert "options" not in parameters


# Menus


@dataclass(frozen=True)
class Toy:
    name: str
    summary: str = "moves nothing"
    use: str = ""
    rank: int = 1
    installed: bool = True


def toys(*entries, unavailable=()):
    """A registry that has looked already."""
    registry = Registry("toy", "UltrasoundMotionLib.tracking.trackers")
    registry._look = lambda: None
    for entry in entries:
        registry.add(entry)
    registry._seen = dict(unavailable)
    return registry


def lines_of(box):
    """The lines of a menu: their texts, and whether each can be chosen."""
    import qt

    model = box.model()
    enabled = [bool(model.flags(model.index(index, 0)) & qt.Qt.ItemIsEnabled) for index in range(box.count)]
    return [box.itemText(index) for index in range(box.count)], enabled


@needs_qt
@pytest.mark.parametrize("name", ["LandmarkTracking", "MyocardialTracking"])
def test_the_menu_begins_with_three_trackers_and_what_they_are_for(application, name):
    widget = application.open_module(name)
    box, default = widget.ui.trackerSelector, widget.parameters.tracker
    texts, enabled = lines_of(box)
    names = [text.partition(":")[0] for text in texts]
    assert names[0] == default  # the module's own
    assert [text for text in texts if ":" in text] == [f"{one}: {TRACKERS.find(one).use}" for one in names[:3]]
    assert [names[1:3]] == [[one.name for one in available_trackers() if one.recommended and one.name != default][:2]]
    assert (texts[3], enabled[3]) == ("More", False)
    assert all(enabled[:3])
    others = [one.name for one in available_trackers() if one.name not in names[:3]]
    assert names[4 : 4 + len(others)] == others
    assert box.count == 1 + len(TRACKERS.all()) + len(TRACKERS.unavailable)
    box.currentIndex = 2
    assert widget.parameters.tracker == names[2]
    box.currentIndex = 5
    assert widget.parameters.tracker == names[5]
    assert TRACKERS.find(names[5]).summary in box.toolTip
    widget.parameters.tracker = default
    assert box.currentIndex == 0


@needs_qt
def test_what_cannot_run_is_listed_with_the_reason_and_cannot_be_chosen(application):
    import qt
    from UltrasoundMotionModuleLib.shared.entry_menu import EntryMenu, MenuItem

    registry = toys(
        Toy("untrained", installed=False, use="For nobody"),
        Toy("plain", rank=2),
        unavailable={"heavy": "monai"}.items(),
    )
    chosen, box = [], qt.QComboBox()
    first = MenuItem("", "As the preset says", "")
    menu = EntryMenu(box, lambda: registry, chosen.append, [first])
    assert [box.itemText(index) for index in range(box.count)] == ["As the preset says", "plain", "untrained", "heavy"]
    tips = [box.itemData(index, qt.Qt.ToolTipRole) for index in range(box.count)]
    assert tips[1] == "moves nothing"
    assert tips[2] == "moves nothing. For nobody Its trained weights are not installed."
    assert "monai" in tips[3]
    assert lines_of(box)[1] == [True, True, False, False]
    box.currentIndex = 1
    menu.show("")
    assert chosen == ["plain"]  # showing is no choice
    assert menu.whyNot("plain") == ""
    assert "weights" in menu.whyNot("untrained")
    assert "There is no \u201cgone\u201d here" in menu.whyNot("gone")
    menu.show("gone")
    assert box.currentIndex == -1


@needs_qt
def test_weights_imported_while_the_application_runs_appear_in_the_menu(application, tmp_path, monkeypatch):
    import os

    import qt
    from UltrasoundMotionModuleLib.shared.entry_menu import EntryMenu

    folder = tmp_path / "models"
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(folder))

    class Published(Toy):
        how_to_install = "import CHECKPOINT"

        @property
        def installed(self):
            return (folder / "net.json").exists()

        @installed.setter
        def installed(self, value):
            pass

    registry = toys(Toy("plain", rank=1), Published("net", rank=2))
    chosen, box = [], qt.QComboBox()
    menu = EntryMenu(box, lambda: registry, chosen.append)
    menu.show("plain")
    assert menu.whyNot("net") == "net: Its trained weights are not installed. import CHECKPOINT"
    folder.mkdir()
    (folder / "net.json").write_text("{}")
    os.utime(folder, ns=(1, 1))
    assert menu.whyNot("net") == "" and box.currentIndex == 0 and chosen == []
    assert lines_of(box)[1] == [True, True]
    box.currentIndex = 1
    assert chosen == ["net"]


@pytest.mark.parametrize(
    ("saved", "restored", "told"),
    [
        ("lucas-kanade", "lucas-kanade", False),
        ("KCF", "kcf", False),  # as an enumeration was saved
        ("PRESET", "", False),
        ("dropped-since", "lucas-kanade", True),
        ("", "", False),
    ],
)
def test_scenes_that_were_saved_before_load(application, saved, restored, told):
    from LandmarkTracking import LandmarkTrackingLogic

    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetParameter("tracker", saved)
    (parameter,) = LandmarkTrackingLogic.entryParameters
    assert bool(parameter.restore(node)) is told
    assert node.GetParameter("tracker") == restored


@needs_qt
def test_a_tracker_that_is_gone_gives_way_with_a_message(application):
    from LandmarkTracking import LandmarkTrackingLogic

    logic = LandmarkTrackingLogic()
    logic.getParameterNode().parameterNode.SetParameter("tracker", "dropped-since")
    widget = application.open_module("LandmarkTracking")
    assert widget.parameters.tracker == "lucas-kanade"
    assert "dropped-since" in widget.ui.statusLabel.text
    assert application.errors == []


@needs_qt
def test_the_menu_of_methods_begins_with_the_preset_s(application):
    widget = application.open_module("DeformableRegistration")
    box, names = widget.ui.methodComboBox, [entry.name for entry in METHODS.all() if entry.installed]
    assert [box.itemText(index) for index in range(len(names) + 1)] == ["As the preset says", *names]
    box.currentIndex = 1 + names.index("demons")
    assert widget.logic.request(widget.parameters).method == "demons"
    assert METHODS.find("demons").summary in box.toolTip
    box.currentIndex = 0
    assert widget.parameters.method == ""
    for refinable in METHODS.all():
        widget.parameters.method = refinable.name
        assert widget.ui.refinementComboBox.enabled == refinable.refinable


@pytest.mark.parametrize(
    ("saved", "restored"),
    [("INSTANCE", "instance"), ("PRESET", ""), ("semantic", "anatomy-guided"), ("dropped-since", "")],
)
def test_methods_of_scenes_that_were_saved_before(application, saved, restored):
    application.load_module("DeformableRegistration")
    from DeformableRegistration import DeformableRegistrationLogic

    logic = DeformableRegistrationLogic()
    logic.getParameterNode().parameterNode.SetParameter("method", saved)
    assert logic.getParameterNode().method == restored
    assert bool(logic.takeNotes()) == (saved == "dropped-since")


@needs_qt
@pytest.mark.parametrize("module", ["LandmarkTracking", "MyocardialTracking"])
def test_without_pytorch_a_panel_offers_what_runs_and_says_what_pytorch_adds(module, monkeypatch):
    find_spec = importlib.util.find_spec
    missing = [True]
    monkeypatch.setattr("UltrasoundMotionLib.pytorch._found", None)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "torch" and missing else find_spec(name, *more),
    )
    with HeadlessScene() as scene, slicer_application(scene) as application:
        application.load_module(module)
        widget = application.open_module(module)
        installed = []
        monkeypatch.setattr(widget, "addTorch", lambda: installed.append(missing.pop()))
        widget._torchNote._install = widget.addTorch
        widget.onWatchedModified()
        note, menu = widget.ui.trackerNoteLabel, widget._trackerMenu
        assert note.text.startswith("With PyTorch there are also ") and "specknet" in note.text
        assert "<a href=" in note.text
        assert not widget.needsTorch(), "the first click on Track must not ask for PyTorch"
        assert menu.whyNot(widget.parameters.tracker) == ""
        assert menu.whyNot("specknet") == "specknet: It needs PyTorch, which is not installed."
        note.linkActivated._signal.emit("install")
        assert installed == [True]
        assert not note.visible
        assert menu.whyNot("specknet") == ""
        widget.parameters.tracker = "specknet"
        assert widget.needsTorch()
        assert application.errors == []
