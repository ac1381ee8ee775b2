"""Runs of the Landmark Tracking panel: cancelled, interrupted, failed, and on the sample."""

import os
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import slicer

import slicer_signatures
from landmark_bench import QUERY_PX, LandmarkBench, place, positions, swaying_clip, truth_px
from module_bench import needs_qt, own_process
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.process_state import is_alive


@pytest.mark.slow
@needs_qt
def test_ten_runs_and_ten_cancels_leave_nothing_behind(bench):
    widget = bench.open()
    counts = []
    for _ in range(10):
        widget.ui.applyButton.click()
        bench.wait_until_done(widget)
        observers = len(widget.Observations)
        pids = shared_process().process.pids
        counts.append(
            (
                bench.scene.GetNumberOfNodes(),
                observers,
                pids,
                bench.application.connected,
                widget.parameters.trackedLandmarks.GetName(),
            )
        )
    assert len(set(counts)) == 1, counts
    for number in range(10):
        widget.ui.applyButton.click()
        until = (
            time.monotonic() + 0.03 * number
        )  # at all stages of a run: while it is prepared, before and after its first frame
        bench.application.wait(lambda until=until: time.monotonic() > until)
        if widget.run is not None:
            widget.ui.applyButton.click()
        bench.wait_until_done(widget)
        assert len(widget.Observations) == observers
    assert bench.scene.GetNumberOfNodes() <= counts[0][0]
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    assert bench.scene.GetNumberOfNodes() == counts[0][0]
    assert shared_process().process.pids == pids
    bench.application.close_module("LandmarkTracking")
    assert widget.Observations == []
    assert bench.application.errors == []


@pytest.fixture
def bench(open_bench):
    return open_bench(LandmarkBench)


def shared_process():
    from UltrasoundMotionModuleLib.shared import background_job

    return background_job._shared


@needs_qt
@pytest.mark.parametrize(
    "how", ["scene closed", "module reloaded", pytest.param("application quits", marks=own_process)]
)
@pytest.mark.slow
def test_interrupted_in_the_midst_of_a_run(bench, how):
    long = swaying_clip(200, (64, 60), "long", whole_pixels=True)
    widget = bench.open()
    clip = add_image_sequence(bench.scene, long)
    widget.parameters.inputClip, widget.parameters.landmarks = clip.proxy, place(bench.scene, long, QUERY_PX[:1] - 20)
    widget.ui.applyButton.click()
    bench.application.wait(lambda: widget.parameters.trackedLandmarks is not None)
    assert widget.run is not None
    pids = shared_process().process.pids
    if how == "scene closed":
        bench.scene.Clear(False)
        assert widget.ui.applyButton.text == "&Track"
        assert "Select an ultrasound clip" in widget.ui.statusLabel.text
    elif how == "module reloaded":
        widget = bench.application.reload_module("LandmarkTracking")
        assert widget.ui.applyButton.enabled
    else:
        bench.application.quit()
        assert shared_process() is None
    assert widget.run is None
    assert bench.application.errors == []
    if shared_process() is not None:
        bench.application.wait(lambda: not shared_process().busy)
        assert shared_process().process.pids == pids  # the child is ready for the next
    else:
        assert not any(map(is_alive, pids))


@needs_qt
def test_a_run_goes_on_while_another_module_is_open(bench):
    widget = bench.open()
    widget.ui.applyButton.click()
    widget.exit()
    assert {one[0] for one in widget.Observations} == {bench.scene}
    bench.wait_until_done(widget)
    tracked = bench.scene.GetFirstNodeByName("clip landmarks")
    np.testing.assert_allclose(positions(bench, find_sequence_nodes(tracked)), truth_px(24), atol=0.3)
    widget.enter()
    assert widget.ui.resultSelector.currentNode() is tracked
    assert bench.application.errors == []


@needs_qt
def test_a_result_deleted_in_the_midst_of_its_run_ends_it_with_a_message(bench, capfd):
    long = swaying_clip(300, (64, 60), "long", whole_pixels=True)
    widget = bench.open()
    clip = add_image_sequence(bench.scene, long)
    widget.parameters.inputClip, widget.parameters.landmarks = clip.proxy, place(bench.scene, long, QUERY_PX[:1] - 20)
    widget.ui.applyButton.click()
    bench.application.wait(lambda: widget.parameters.trackedLandmarks is not None)
    bench.scene.RemoveNode(find_sequence_nodes(widget.parameters.trackedLandmarks).sequence)
    bench.wait_until_done(widget)
    assert "could not be shown" in bench.application.errors[-1]
    assert widget.ui.applyButton.text == "&Track"
    bench.application.wait(lambda: not shared_process().busy)
    capfd.readouterr()


@needs_qt
@pytest.mark.slow
def test_the_first_result_is_shown_while_the_rest_is_tracked_and_only_fills_its_node(bench):
    """Prints how long the main thread was busy, for the page of results: no test fails because a machine is slow."""
    long = swaying_clip(300, (160, 120), "long", whole_pixels=True)
    clip = add_image_sequence(bench.scene, long)
    grid = np.stack(np.meshgrid(np.linspace(40, 100, 5), np.linspace(40, 80, 4)), axis=-1).reshape(-1, 2)
    widget = bench.open()
    widget.parameters.inputClip, widget.parameters.landmarks = clip.proxy, place(bench.scene, long, grid)
    bench.application.wait(lambda: shared_process().process.is_warm)
    polls, building = [], []

    def timed(function, into):
        def call(*values, **options):
            start = time.thread_time()  # of this thread alone: other processes share the machine's cores
            try:
                return function(*values, **options)
            finally:
                into.append(time.thread_time() - start)

        return call

    shared = shared_process()
    shared._timer.disconnect("timeout()", shared._poll)
    shared._poll = timed(shared._poll, polls)
    shared._timer.connect("timeout()", shared._poll)
    widget.showResult, widget._addLandmarks = timed(widget.showResult, building), timed(widget._addLandmarks, building)
    widget.ui.applyButton.click()
    widget._live._add = widget._addLandmarks
    bench.application.wait(lambda: widget.parameters.trackedLandmarks is not None)
    tracked = widget.parameters.trackedLandmarks
    count = bench.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert 0 < bench.logic.tracks(tracked).reached.sum() < 300
    bench.wait_until_done(widget)
    between = sorted(polls)[: -len(building)]
    print(f"longest poll {1e3 * between[-1]:.0f} ms, nodes of 300 frames {sum(building):.2f} s")
    assert len(building) == 2  # the landmarks at the first result, the rest at the last
    assert widget.parameters.trackedLandmarks is tracked
    assert bench.logic.tracks(tracked).reached.all()
    assert bench.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == count


@needs_qt
@pytest.mark.slow
def test_a_failure_is_shown_with_what_to_do_next(bench, capfd):
    widget = bench.open()
    bench.points.SetNthControlPointLabel(1, "P1")
    widget.ui.applyButton.click()
    assert "2 points are called 'P1'; give each its own label" in bench.application.errors[-1]
    assert widget.ui.applyButton.text == "&Track"
    bench.points.SetNthControlPointLabel(1, "P2")
    widget.ui.applyButton.click()
    bench.application.wait(lambda: widget.parameters.trackedLandmarks is not None or widget.run is None)
    for pid in shared_process().process.pids:
        os.kill(pid, 9)
    bench.wait_until_done(widget)
    if "3 points through" not in widget.ui.statusLabel.text:  # it was quicker than the kill
        assert "killed" in bench.application.errors[-1]
        assert widget.ui.statusLabel.text.startswith("Failed: ")
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    assert widget.ui.statusLabel.text.startswith("3 points through 24 frames")
    assert "give each its own label" in capfd.readouterr().err  # Slicer's error display raises again, for the log


def test_the_sample_is_offered_in_slicers_sample_data_module(bench, monkeypatch):
    registered, loaded = [], []
    parameters = slicer_signatures.held()["SampleData.SampleDataLogic.registerCustomSampleDataSource"]["5.10"]
    signature = slicer_signatures.signature_of(parameters.removeprefix("static "))

    def register(**source):
        """As Slicer: refuses what it does not know, and counts files and addresses."""
        source = signature.bind(**source).arguments
        assert len(source["uris"]) == len(source["fileNames"])
        registered.append(source)

    logic = types.SimpleNamespace(registerCustomSampleDataSource=register)  # as in 5.10: without categories
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    bench.application.emit("startupCompleted()")
    (source,) = registered
    assert source["category"] == "UltrasoundMotion"
    assert source["sampleName"] == "Simulated liver"  # the text of its button
    assert Path(source["thumbnailFileName"]).is_file()
    from UltrasoundMotionModuleLib.shared import sample_data

    nodes, shown = types.SimpleNamespace(clip=types.SimpleNamespace(proxy="clip", browser="browser")), []
    slicer.modules.sequences = types.SimpleNamespace(showSequenceBrowser=shown.append)
    monkeypatch.setattr(sample_data, "loadSample", lambda sample: loaded.append(sample) or nodes)
    assert source["customDownloader"](source) == "clip"
    assert (loaded, shown) == ([sample_data.LIVER], ["browser"])
    categories = []
    logic.registerCustomSampleDataCategory = lambda category, title: categories.append(category)
    bench.application.emit("startupCompleted()")
    assert categories == ["UltrasoundMotion"]


@pytest.mark.slow
@needs_qt
def test_the_sample_is_simulated_once_and_tracked_well(bench, monkeypatch):
    from UltrasoundMotionModuleLib.shared import sample_data

    small = sample_data.Sample("liver", "Small liver", 4, 1, "vessel")
    monkeypatch.setattr(bench.module, "LIVER", small)
    widget = bench.application.open_module("LandmarkTracking")
    widget.ui.sampleDataButton.click()
    assert widget.run is not None
    bench.application.wait(lambda: widget.run is None)
    assert widget.parameters.inputClip.GetName().startswith("Small liver")
    widget.ui.sampleDataButton.click()
    assert widget.run is None  # kept from the first time
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    tracks = bench.logic.tracks(widget.parameters.trackedLandmarks)
    truth = small.read().truth
    error = tracks.positions_px - truth.positions_px[:, [truth.labels.index(label) for label in tracks.labels]]
    assert np.median(np.linalg.norm(error, axis=2)) < 1
    assert bench.application.errors == []
    self_test = bench.module.LandmarkTrackingTest("runTest").run()  # what the application runs, on the same sample
    assert self_test.wasSuccessful(), self_test.failures + self_test.errors
