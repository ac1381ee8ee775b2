"""The extension's own layouts, shown by Slicer's own layout logic, and left as they were found."""

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core: pip install --editable '.[slicer]'")

import slicer_stand_ins  # noqa: E402
from landmark_bench import LandmarkBench  # noqa: E402
from slicer_stand_ins import slicer_application  # noqa: E402
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene  # noqa: E402
from UltrasoundMotionLib.mrml.layouts import (  # noqa: E402
    IMAGE,
    IMAGE_CHART_BULLS_EYE_TABLE,
    IMAGE_CHART_TABLE,
    OWN_LAYOUTS,
    LayoutStack,
    layout_node,
    register_layouts,
)
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene  # noqa: E402

FOUR_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
ONE_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView


class Views:
    """A scene whose views Slicer's layout logic arranges."""

    def __init__(self, scene):
        self.scene, self.logic = scene, slicer.vtkMRMLLayoutLogic()
        self.logic.SetMRMLScene(scene)
        self.node = self.logic.GetLayoutNode()
        self.node.SetViewArrangement(FOUR_UP)

    @property
    def arrangement(self):
        return self.node.GetViewArrangement()

    @property
    def shown(self):
        views = self.logic.GetViewNodes()
        return [views.GetItemAsObject(number).GetLayoutName() for number in range(views.GetNumberOfItems())]


@pytest.fixture
def views():
    with HeadlessScene() as scene:
        views = Views(scene)
        yield views
        views.logic.SetMRMLScene(None)


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        (IMAGE, ["Red"]),
        (IMAGE_CHART_TABLE, ["Red", "PlotView1", "TableView1"]),
        (IMAGE_CHART_BULLS_EYE_TABLE, ["Red", "PlotView1", "Yellow", "TableView1"]),
    ],
    ids=lambda one: one.title if hasattr(one, "title") and not isinstance(one, str) else "",
)
def test_a_layout_has_the_image_and_no_empty_view(views, layout, names):
    LayoutStack().show(views.scene, layout)
    assert views.shown == names


def test_layouts_are_described_once_and_have_numbers_of_their_own(views):
    assert register_layouts(views.scene)
    assert not register_layouts(views.scene)
    numbers = [layout.number for layout in OWN_LAYOUTS]
    assert min(numbers) > slicer.vtkMRMLLayoutNode.SlicerLayoutUserView
    assert len(set(numbers)) == len(numbers)


def test_layouts_lie_over_one_another_and_the_users_is_back(views):
    stack = LayoutStack()
    assert stack.show(views.scene, IMAGE)
    assert not stack.show(views.scene, IMAGE)
    stack.show(views.scene, IMAGE_CHART_TABLE)
    stack.hide(views.scene, IMAGE_CHART_TABLE)
    assert views.arrangement == IMAGE.number
    stack.show(views.scene, IMAGE_CHART_TABLE)
    stack.leave(views.scene)
    assert views.arrangement == FOUR_UP
    assert stack.back(views.scene)
    assert views.arrangement == IMAGE_CHART_TABLE.number
    stack.restore(views.scene)
    assert views.arrangement == FOUR_UP
    assert not stack.back(views.scene)


def test_a_layout_that_the_user_chooses_stays(views):
    stack = LayoutStack()
    stack.show(views.scene, IMAGE)
    views.node.SetViewArrangement(ONE_UP)
    stack.hide(views.scene, IMAGE)
    stack.leave(views.scene)
    assert views.arrangement == ONE_UP
    assert not stack.back(views.scene)
    stack.show(views.scene, IMAGE_CHART_TABLE)
    stack.leave(views.scene)
    assert views.arrangement == ONE_UP


def test_without_views_nothing_is_shown():
    with HeadlessScene() as scene:
        assert not LayoutStack().show(scene, IMAGE)
        assert layout_node(scene) is None


def test_a_saved_scene_does_not_ask_for_a_layout_that_another_slicer_lacks(views, tmp_path):
    stack = LayoutStack()
    stack.show(views.scene, IMAGE)
    write_scene(views.scene, tmp_path / "own.mrb")
    stack.restore(views.scene)
    write_scene(views.scene, tmp_path / "users.mrb")
    views.node.SetViewArrangement(ONE_UP)
    for name, arrangement in (("own", ONE_UP), ("users", FOUR_UP)):
        with HeadlessScene() as scene:
            other = Views(scene)
            other.node.SetViewArrangement(ONE_UP)
            read_scene(scene, tmp_path / f"{name}.mrb")
            assert other.arrangement == arrangement
            assert "Red" in other.shown
            other.logic.SetMRMLScene(None)


def test_an_arrangement_without_description_shows_no_view(views):
    """The reason for the test above."""
    views.node.SetViewArrangement(IMAGE.number)
    assert views.shown == []


@pytest.fixture
def bench():
    if slicer_stand_ins.qt_stand_ins is None:
        pytest.skip("needs Qt for Python: pip install --editable '.[test]'")
    with HeadlessScene() as scene, slicer_application(scene) as application:
        yield LandmarkBench(scene, application)


def test_the_panel_shows_the_clip_large_until_the_user_leaves(bench):
    widget, application = bench.open(), bench.application
    assert application.layout == FOUR_UP  # to open a module changes nothing
    widget.ui.showClipButton.click()
    assert application.layout == IMAGE.number
    assert bench.scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode").GetBackgroundVolumeID() == (
        bench.clip.proxy.GetID()
    )
    widget.exit()
    assert application.layout == FOUR_UP
    widget.enter()
    assert application.layout == IMAGE.number
    application.close_module("LandmarkTracking")
    assert application.layout == FOUR_UP


def test_closing_the_scene_restores_the_layout(bench):
    widget, application = bench.open(), bench.application
    widget.ui.showClipButton.click()
    bench.scene.Clear(False)
    assert application.layout == FOUR_UP
    assert not widget.ui.plotButton.checked


@pytest.mark.slow
def test_another_layout_releases_the_button(bench):
    widget, application = bench.open(), bench.application
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    widget.ui.plotButton.checked = True
    assert application.layout == IMAGE_CHART_TABLE.number
    application.setLayout(ONE_UP)
    assert not widget.ui.plotButton.checked
    assert application.layout == ONE_UP
    widget.ui.plotButton.checked = True
    widget.exit()
    widget.enter()
    assert widget.ui.plotButton.checked
    assert application.layout == IMAGE_CHART_TABLE.number
    assert application.errors == []


def test_the_layouts_are_in_slicers_menu_once(bench, monkeypatch):
    bench.application.load_module("LandmarkTracking")
    from UltrasoundMotionModuleLib.shared.layout_switch import offerLayouts

    assert offerLayouts in bench.application._slots["startupCompleted()"]
    qt = slicer_stand_ins.qt_stand_ins.QtModule()
    menu = qt.QMenu()

    class Window:
        def findChild(self, class_name, name):  # noqa: N802
            return menu if (class_name, name) == ("QMenu", "LayoutMenu") else None

    monkeypatch.setattr(slicer.util, "mainWindow", Window)
    offerLayouts()
    offerLayouts()  # of the other module
    assert [action.text for action in menu.actions()] == [layout.title for layout in OWN_LAYOUTS]
    assert [action.data() for action in menu.actions()] == [layout.number for layout in OWN_LAYOUTS]
