"""A whole-clip tracker on imported weights in the child process and in the panel of Landmark Tracking."""

import numpy as np
import pytest

from landmark_bench import QUERY_PX, LandmarkBench, swaying_clip
from module_bench import needs_qt, own_process
from small_cotracker3 import import_small_cotracker3
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.jobs import JobProcess, run_job, track_job
from UltrasoundMotionLib.tracking import track_points
from UltrasoundMotionLib.tracking.request import TrackRequest
from UltrasoundMotionLib.weights.licence_terms import ACCEPT_VARIABLE


@pytest.fixture(scope="module")
def imported_models(tmp_path_factory):
    return import_small_cotracker3(tmp_path_factory.mktemp("cotracker3"))


@pytest.fixture
def imported(imported_models, monkeypatch):
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(imported_models))
    monkeypatch.delenv(ACCEPT_VARIABLE, raising=False)


def test_the_child_process_runs_it_with_progress_and_cancel(imported, tmp_path):
    sequence = swaying_clip(6, (64, 60), whole_pixels=True)
    points = [[20.0, 30.0], [50.0, 12.0]]
    expected = track_points(sequence, points, model="cotracker3", query_frame=4, device="cpu")
    job = track_job(sequence, points, request=TrackRequest(model="cotracker3", query_frame=4, device="cpu"))
    seen = []
    with JobProcess(folder=tmp_path) as process:
        found = run_job(job, process, progress=lambda done, total, message: seen.append((done, total, message)))
        np.testing.assert_allclose(found.positions_px, expected.positions_px, atol=1e-4)
        np.testing.assert_array_equal(found.visible, expected.visible)
        assert seen and seen[-1][0] <= seen[-1][1] == 6

        def stop(done, total, message):
            raise Cancelled("enough")

        with pytest.raises(Cancelled):
            run_job(job, process, progress=stop)


@pytest.fixture
def bench(imported, open_bench):
    return open_bench(LandmarkBench)


@needs_qt
@own_process
@pytest.mark.slow
def test_the_panel_runs_it_without_what_needs_single_frames(bench, monkeypatch):
    widget = bench.open()
    ui = widget.ui
    ui.shadowsCheckBox.checked = ui.offlineCheckBox.checked = True
    widget.parameters.aheadFrames = 2
    widget.parameters.tracker = "cotracker3"
    assert not (ui.shadowsCheckBox.enabled or ui.offlineCheckBox.enabled or ui.aheadSpinBox.enabled)
    assert not {"--watch-shadows", "--offline", "--ahead-frames"} & set(widget.commandArguments())
    with pytest.raises(InputError, match=r"cotracker3 are under CC-BY-NC-4\.0"):
        bench.logic.track(bench.clip.proxy, bench.points, model="cotracker3")
    with pytest.raises(InputError, match=r"cotracker3 are under CC-BY-NC-4\.0"):
        bench.logic.trackCorrected(bench.points, model="cotracker3")
    monkeypatch.setenv(ACCEPT_VARIABLE, "CC-BY-NC-4.0")
    ui.applyButton.click()
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    assert ui.statusLabel.text.startswith("3 points through 24 frames")
    found = bench.logic.tracks(widget.parameters.trackedLandmarks).positions_px
    expected = track_points(bench.sequence, QUERY_PX, model="cotracker3", device="cpu").positions_px
    np.testing.assert_allclose(found, expected, atol=0.02)
    widget.parameters.tracker = "lucas-kanade"
    assert ui.shadowsCheckBox.enabled and ui.offlineCheckBox.enabled
