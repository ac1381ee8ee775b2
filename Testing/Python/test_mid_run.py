"""What the user does while a run goes on, in every panel: a sentence in the panel, nothing lost, nothing left over.

The results are made once; the run is stopped at a step of its work on the scene, the user acts, and the run goes on.
"""

from dataclasses import replace

import numpy as np
import pytest
import slicer

from landmark_bench import QUERY_PX, LandmarkBench, place, swaying_clip, truth_px
from module_bench import needs_qt
from myocardial_bench import CENTRE, MyocardialBench, beating_clip, scale
from registration_pairs import pair_in
from registration_pairs import swaying_clip as short_clip
from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.tracking import PointTracks


class Landmarks(LandmarkBench):
    frames = 12

    def __init__(self, scene, application):
        super().__init__(scene, application)
        sequence = swaying_clip(self.frames, name="short", whole_pixels=True)
        self.chosen = add_image_sequence(scene, sequence)
        self.short, self.points_on_short = sequence, place(scene, sequence, name="on short")

    def open(self):
        widget = super().open()
        widget.parameters.inputClip, widget.parameters.landmarks = self.chosen.proxy, self.points_on_short
        return widget

    def result(self, widget):
        run = widget.makeJob()
        assert run is not None
        positions = truth_px(self.frames)
        shape = positions.shape[:2]
        labels = tuple(f"P{number + 1}" for number in range(len(QUERY_PX)))
        times, spacing = self.short.times_s, self.short.spacing_mm
        return PointTracks(positions, np.ones(shape), np.ones(shape, bool), labels, 0, times, spacing, "lucas-kanade")

    def removable(self, widget):
        return {
            "clip": [self.chosen.proxy],
            "sequence": [self.chosen.sequence],
            "browser": [self.chosen.browser],
            "points": [self.points_on_short],
            "parameters": [widget.parameters.parameterNode],
        }

    def shown(self, widget):
        return widget.parameters.trackedLandmarks


class Wall(MyocardialBench):
    def __init__(self, scene, application):
        super().__init__(scene, application)
        self.chosen = self.clip

    def result(self, widget):
        marked = widget._wallSection.make()
        wall, times = np.asarray(marked.points_px), self.sequence.times_s
        positions = np.stack([CENTRE + (wall - CENTRE) * scale(frame) for frame in range(len(self.sequence))])
        shape = positions.shape[:2]
        spacing = self.sequence.spacing_mm
        return PointTracks(positions, np.ones(shape), np.ones(shape, bool), marked.labels, 0, times, spacing, "known")

    def removable(self, widget):
        return {
            "clip": [self.clip.proxy],
            "sequence": [self.clip.sequence],
            "browser": [self.clip.browser],
            "points": [self.clicks],
            "parameters": [widget.parameters.parameterNode],
        }

    def shown(self, widget):
        return widget.parameters.trackedWall


class Pair:
    """Two volumes in Deformable Registration."""

    name, found = "DeformableRegistration", None

    def __init__(self, scene, application):
        self.scene, self.application = scene, application
        application.load_module(self.name)
        self.volumes = pair_in(scene, (12, 16, 14))

    def open(self):
        widget = self.application.open_module(self.name)
        parameters = widget.parameters
        for role in ("fixed", "moving"):
            setattr(parameters, f"{role}Volume", self.volumes[role])
            setattr(parameters, f"{role}Segmentation", self.volumes[f"{role} segmentation"])
        return widget

    def result(self, widget):
        if type(self).found is None:
            type(self).found = run_job(widget.logic.pairTask(widget.parameters).job, process())
        return self.found

    def removable(self, widget):
        return {
            "clip": [self.volumes["fixed"]],
            "sequence": [self.volumes["moving"]],
            "points": [self.volumes["moving segmentation"]],
            "parameters": [widget.parameters.parameterNode],
        }

    def shown(self, widget):
        return widget.parameters.outputWarped

    def wait_until_done(self, widget):
        self.application.wait(lambda: widget.run is None)


class Frames(Pair):
    """A sequence in Deformable Registration."""

    found = None

    def __init__(self, scene, application):
        self.scene, self.application = scene, application
        application.load_module(self.name)
        self.chosen = add_image_sequence(scene, short_clip())

    def open(self):
        widget = self.application.open_module(self.name)
        parameters = widget.parameters
        parameters.preset = next(one for one in type(parameters.preset) if one.value.ofSequence)
        parameters.sequenceVolume = self.chosen.proxy
        return widget

    def result(self, widget):
        from UltrasoundMotionModuleLib.deformable_registration.tasks import allOf

        if Frames.found is None:
            Frames.found = run_job(allOf(widget.logic.sequenceTask(widget.parameters).inSteps()), process())
        return Frames.found

    def removable(self, widget):
        return {
            "clip": [self.chosen.proxy],
            "sequence": [self.chosen.sequence],
            "browser": [self.chosen.browser],
            "parameters": [widget.parameters.parameterNode],
        }

    def shown(self, widget):
        return widget.parameters.stillVolume


BENCHES = {"landmarks": Landmarks, "wall": Wall, "pair": Pair, "frames": Frames}
FIRST, *OTHERS = BENCHES
each_panel = pytest.mark.parametrize("kind", [FIRST, *(pytest.param(kind, marks=pytest.mark.slow) for kind in OTHERS)])


def process():
    from UltrasoundMotionModuleLib.shared.background_job import sharedProcess

    return sharedProcess().process


KEPT = ("vtkMRMLStorageNode", "vtkMRMLColorNode", "vtkMRMLSubjectHierarchyNode")


def names(scene):
    """The names of what is in the scene, apart from what the application keeps when a scene is closed."""
    every = (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    return sorted(
        node.GetName() or ""
        for node in every
        if not node.GetSingletonTag() and not any(node.IsA(name) for name in KEPT)
    )


@pytest.fixture
def started(open_bench, monkeypatch, capfd):
    """Gives `started(kind)`: a bench and its panel, whose run has its result and begins to show it, a step a slice."""
    from slicer_stand_ins import qt_stand_ins

    def start(kind):
        bench = open_bench(BENCHES[kind])
        widget = bench.open()
        qt_stand_ins.process_events(50)
        begin(bench, widget)
        return bench, widget

    yield start
    capfd.readouterr()  # what Slicer's message boxes print for the log


def begin(bench, widget):
    """Presses Apply; the child process has the result at once."""
    from UltrasoundMotionModuleLib.shared import background_job

    result, make = bench.result(widget), widget.makeJob

    def make_finished():
        run = make()
        run._preparation.close()
        run._steps = background_job.StepRunner(background_job.nothingToCompute(result))
        return run

    widget.startRun(make_finished)
    widget.run.advance()  # prepared: there is nothing to compute


def go_on(widget, steps):
    """Lets the run go on for some steps at most."""
    from UltrasoundMotionModuleLib.shared import background_job

    budget, background_job._STEP_BUDGET_S = background_job._STEP_BUDGET_S, 0.0
    try:
        for _ in range(steps):
            if widget.run is None:
                return
            widget.run.advance()
    finally:
        background_job._STEP_BUDGET_S = budget


STAGES = {"at the start": 2, "in the middle": 14, "late": 30}
each_stage = pytest.mark.parametrize(
    "stage", ["at the start", *(pytest.param(stage, marks=pytest.mark.slow) for stage in ("in the middle", "late"))]
)


@needs_qt
@each_panel
def test_undisturbed(started, kind):
    bench, widget = started(kind)
    go_on(widget, STAGES["in the middle"])
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    assert bench.shown(widget) is not None


@needs_qt
@each_panel
@each_stage
@pytest.mark.parametrize("removed", ["clip", "sequence", "browser", "points"])
def test_nodes_deleted(started, kind, removed, stage):
    bench, widget = started(kind)
    go_on(widget, STAGES[stage])
    nodes = bench.removable(widget).get(removed)
    if nodes is None or widget.run is None:
        pytest.skip("there is none, or the result is whole by then")
    for node in nodes:
        bench.scene.RemoveNode(node)
    bench.wait_until_done(widget)
    text = widget.ui.statusLabel.text
    assert text and "\n" not in text
    assert "Starting" not in text
    assert widget.ui.applyButton.text != "&Cancel"
    assert not widget.ui.progressBar.visible
    assert not process_is_busy()
    if bench.application.errors:
        assert any(word in text for word in ("removed", "no longer in the scene", "changed", "is gone")), text
        assert not half_a_result(bench, widget)
    else:
        assert bench.shown(widget) is not None
        assert bench.shown(widget).GetScene() is bench.scene


def half_a_result(bench, widget):
    """Nodes that only a whole result has."""
    return [name for name in names(bench.scene) if any(part in name for part in ("path of", "displacement", "band"))]


def process_is_busy():
    from UltrasoundMotionModuleLib.shared import background_job

    return background_job.sharedProcess().busy


@needs_qt
@each_panel
@pytest.mark.parametrize("stage", ["at the start", "late"])
def test_the_parameter_node_is_deleted(started, kind, stage):
    """The result is chosen in the new one."""
    bench, widget = started(kind)
    go_on(widget, STAGES[stage])
    if widget.run is None:
        pytest.skip("the result is whole by then")
    bench.scene.RemoveNode(widget.parameters.parameterNode)
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    assert widget.parameters.parameterNode.GetScene() is bench.scene
    assert bench.shown(widget) is not None
    assert bench.shown(widget).GetScene() is bench.scene


@needs_qt
@pytest.mark.parametrize("kind", ["landmarks", "wall", "frames"])
@pytest.mark.parametrize("change", ["frame removed", "frame added"])
def test_the_sequence_is_changed(started, kind, change):
    bench, widget = started(kind)
    go_on(widget, STAGES["at the start"])
    sequence = bench.chosen.sequence
    if change == "frame removed":
        sequence.RemoveDataNodeAtValue(sequence.GetNthIndexValue(1))
    else:
        sequence.SetDataNodeAtValue(sequence.GetNthDataNode(0), "99")
    bench.wait_until_done(widget)
    assert "changed" in widget.ui.statusLabel.text
    assert len(bench.application.errors) == 1
    assert not half_a_result(bench, widget)
    assert bench.chosen.proxy.GetScene() is bench.scene


@needs_qt
@each_panel
@pytest.mark.parametrize("stage", ["at the start", "in the middle"])
def test_the_scene_is_closed(started, kind, stage):
    bench, widget = started(kind)
    go_on(widget, STAGES[stage])
    assert widget.run is not None
    bench.scene.Clear(False)
    assert widget.run is None
    bench.application.wait(lambda: not process_is_busy())
    assert names(bench.scene) == []
    assert bench.application.errors == []
    assert widget.ui.applyButton.text != "&Cancel"


@needs_qt
@each_panel
@each_stage
def test_cancelled_while_the_result_is_shown(started, kind, stage):
    """What was computed is kept, or the scene is as it was; never half of it."""
    bench, widget = started(kind)
    go_on(widget, STAGES[stage])
    if widget.run is None:
        pytest.skip("the result is whole by then")
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    shown, text = bench.shown(widget), widget.ui.statusLabel.text
    if shown is None:
        assert text == "Cancelled; the result was not kept"
    elif text.startswith("Cancelled"):
        assert "not made" in text
        assert not half_a_result(bench, widget)
    begin(bench, widget)
    bench.wait_until_done(widget)
    assert bench.shown(widget) is not None
    assert not widget.ui.statusLabel.text.startswith("Cancelled")


@needs_qt
def test_a_second_panel_runs_at_the_same_time(started):
    bench, widget = started("landmarks")
    go_on(widget, STAGES["at the start"])
    bench.application.load_module("MyocardialTracking")
    wall = Wall(bench.scene, bench.application)
    wall.sequence = beating_clip("heart")
    wall.clip = wall.chosen = add_image_sequence(bench.scene, wall.sequence)
    other = wall.open()
    begin(wall, other)
    assert widget.run is not None
    assert other.run is not None
    bench.application.wait(lambda: widget.run is None and other.run is None)
    assert bench.application.errors == []
    assert bench.shown(widget) is not None
    assert wall.shown(other) is not None
    assert other.ui.statusLabel.text.startswith("GLS")


@needs_qt
def test_a_second_run_of_the_same_panel_waits(started):
    bench, widget = started("landmarks")
    go_on(widget, 2)
    run = widget.run
    widget.startRun(widget.makeJob)
    assert widget.run is run
    assert "Wait until the run has ended" in widget.ui.statusLabel.text
    bench.wait_until_done(widget)
    assert bench.application.errors == []


@needs_qt
def test_a_result_removed_in_between_is_made_anew_where_it_was_chosen(started):
    bench, widget = started("pair")
    bench.wait_until_done(widget)
    chosen = widget.parameters.outputWarped
    begin(bench, widget)
    go_on(widget, 1)
    remove_node(chosen)
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    assert widget.parameters.outputWarped.GetScene() is bench.scene
    assert slicer.util.arrayFromVolume(widget.parameters.outputWarped).max() > 0


@needs_qt
def test_the_preview_survives_a_deleted_clip(open_bench):
    bench = open_bench(MyocardialBench)
    widget = bench.open()
    assert widget._wallSection._preview.curves
    for node in (bench.clip.sequence, bench.clip.proxy, bench.clip.browser):
        remove_node(node)
    widget.onWatchedModified()
    assert widget.ui.applyButton.enabled is False
    assert widget.ui.statusLabel.text
    assert not [name for name in names(bench.scene) if "preview" in name]
    assert bench.application.errors == []


@needs_qt
@pytest.mark.parametrize("module", ["LandmarkTracking", "MyocardialTracking"])
def test_a_clip_of_one_frame_is_refused_with_the_reason(open_bench, module):
    bench = open_bench(LandmarkBench if module == "LandmarkTracking" else MyocardialBench)
    widget = bench.open()
    single = replace(bench.sequence, frames=np.asarray(bench.sequence.frames)[:1], times_s=np.zeros(1), name="single")
    widget.parameters.inputClip = add_image_sequence(bench.scene, single).proxy
    assert not widget.ui.applyButton.enabled
    assert "has one frame" in widget.ui.applyButton.toolTip
    assert bench.application.errors == []
