"""The panels' size in Qt: narrow enough for Slicer's module panel, and short enough that the next step, the running bar
and the result are seen without scrolling.
"""

import pytest

import slicer_stand_ins
from module_bench import needs_qt
from slicer_stand_ins import slicer_application
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene

pytestmark = [needs_qt, pytest.mark.slow]

MOST_WIDTH = 400
FOLD_1000, FOLD_768 = 640, 410
"""Height that a module has in Slicer's window of 1000 or 768 pixels, between title, menus, tool bars, logo, help, data
probe and status bar.
"""

LONG_NAME = "1.2.840.113619.2.5.1762583153.215519.978957063.78 apical four-chamber view, second beat"


@pytest.fixture(scope="module", params=["LandmarkTracking", "MyocardialTracking"])
def tracked(request, tmp_path_factory):
    """A panel with the result of a run, drawn at its usual width, and a long name of the clip."""
    with HeadlessScene() as scene, slicer_application(scene) as application:
        widget = application.open_module(request.param)
        for button in (widget.ui.sampleDataButton, widget.ui.applyButton):
            button.click()
            application.wait(lambda: widget.run is None)
        widget.parameters.inputClip.SetName(LONG_NAME)
        widget.ui.progressBar.visible = True
        slicer_stand_ins.qt_stand_ins.render(
            widget.uiWidget, tmp_path_factory.mktemp("panel") / "panel.png", MOST_WIDTH
        )
        yield widget


def bottom(panel, widget):
    """The lower edge of a widget in its panel, in pixels."""
    qtc = slicer_stand_ins.qt_stand_ins.QtCore
    inner = widget._wrapped
    return inner.mapTo(panel.uiWidget._wrapped, qtc.QPoint(0, inner.height())).y()


def test_a_long_name_or_a_result_does_not_widen_the_panel(tracked):
    assert tracked.uiWidget._wrapped.layout().totalMinimumSize().width() <= MOST_WIDTH


def test_next_step_bar_and_result_are_above_the_fold(tracked):
    ui = tracked.ui
    landmarks = tracked.moduleName == "LandmarkTracking"
    step = ui.queryFrameLabel if landmarks else ui.wallLabel
    assert bottom(tracked, step) < bottom(tracked, ui.applyButton) < bottom(tracked, ui.progressBar) <= FOLD_768
    result = (
        (ui.trackAgainButton, ui.exportCsvButton, ui.plotButton)
        if landmarks
        else (ui.strainLabel, ui.trackAgainButton, ui.chartsButton, ui.reportButton)
    )
    for widget in result:
        assert bottom(tracked, widget) <= FOLD_1000, widget.name


def test_options_are_collapsed(tracked):
    assert tracked.ui.trackingCollapsibleButton.collapsed
    assert tracked.ui.advancedCollapsibleButton.collapsed
