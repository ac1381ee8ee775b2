"""The child process of jobs: right results, at once visible, cancelled in time, and nothing left behind."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.images import ImageSequence, Volume
from UltrasoundMotionLib.jobs import (
    JobCancelled,
    JobFinished,
    JobProcess,
    JobProgress,
    JobStarted,
    registration_job,
    run_job,
    sequence_registration_job,
    track_job,
)
from waiting import wait_until

LIBRARY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def process(folder):
    """A warm child that finds this folder's capability too."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *([before] if before else [])])
    with JobProcess(folder=folder) as process:
        process.start()
        wait_until(lambda: process.is_warm)
        yield process
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def events_of(process, job):
    """All events up to the job's end."""
    events = []

    def ended():
        over = job.ended  # asked before the last events are taken
        events.extend(process.poll())
        return over

    wait_until(ended)
    return events


def speckle(shape, seed=0):
    image = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.interp(image, (image.min(), image.max()), (0, 255))


def clip(frame_count=12, size=72):
    base = speckle((size, size))
    frames = np.stack([np.roll(base, (t // 2, t // 3), axis=(0, 1)) for t in range(frame_count)]).astype(np.uint8)
    return ImageSequence(frames=frames, spacing_mm=(0.3, 0.2), times_s=np.arange(frame_count) / 30, name="clip")


POINTS = np.array([[30.0, 31.5], [44.0, 40.25]])


def same_tracks(one, other):
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("positions_px", "confidence", "visible")
    )
    rest = ("labels", "query_frame", "spacing_mm", "model")
    return (
        arrays
        and np.array_equal(one.times_s, other.times_s)
        and all(getattr(one, name) == getattr(other, name) for name in rest)
    )


class OwnThreadFrames:
    """Frames as a scene's: to be read on the thread that made them."""

    def __init__(self, frames):
        import threading

        self.frames, self.shape, self.dtype, self.thread = frames, frames.shape, frames.dtype, threading.get_ident()

    def __getitem__(self, index):
        import threading

        assert threading.get_ident() == self.thread
        time.sleep(0.005)
        return self.frames[index]


@pytest.mark.slow
def test_tracks_are_those_of_the_library_and_come_in_the_order_of_submission(process):
    from UltrasoundMotionLib.tracking import track_points

    sequence = clip()
    lazy = replace(sequence, frames=OwnThreadFrames(sequence.frames))
    asked = [
        (lazy, {"query_frame": 5, "labels": ("septum", "apex")}),
        (sequence, {"query_frame": 8, "direction": "backward", "model": "block-matching"}),
        (sequence, {"watch_shadows": True, "offline": True}),
    ]
    jobs = [process.submit(track_job(frames, POINTS, **options)) for frames, options in asked]
    events = events_of(process, jobs[-1])
    ends = [event for event in events if isinstance(event, JobFinished)]
    assert [event.job for event in ends] == jobs
    for (_, options), end in zip(asked, ends, strict=True):
        assert same_tracks(end.result, track_points(sequence, POINTS, **options))
        assert same_tracks(end.job.partial(), end.result)
    first = [event for event in events if event.job is jobs[0]]
    assert isinstance(first[0], JobStarted) and first[0].device == "cpu"
    reports = [event for event in first if isinstance(event, JobProgress)]
    assert (reports[-1].done, reports[-1].total) == (12, 12)
    assert reports[0].items_per_second is None and reports[-1].seconds_left in (None, 0.0)


def test_registrations_are_those_of_the_library(process):
    from UltrasoundMotionLib.registration import register, register_sequence

    image = speckle((40, 48))
    fixed, moving = (
        Volume(one.astype(np.float32), (0.5, 0.7), (3.0, -4.0), np.eye(2), "image")
        for one in (image, np.roll(image, 2, axis=1))
    )
    maps = {
        f"{name}_labels": replace(one, array=(one.array > 128).astype(np.uint8))
        for name, one in (("fixed", fixed), ("moving", moving))
    }
    maps["fixed_mask"] = replace(fixed, array=np.pad(np.ones((36, 44), np.uint8), 2))
    settings = {"scales": [2, 1], "iterations": [3, 2], "control_strides": [1, 2]}
    start = np.array([[1.0, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    found = run_job(registration_job(fixed, moving, **maps, settings=settings, initial_transform=start), process)
    import SimpleITK as sitk

    start = sitk.TranslationTransform(2, (0.5, 0.0))
    wanted = register(fixed, moving, **maps, settings=settings, initial_transform=start, device="cpu")
    assert np.array_equal(found.displacement.displacement_mm, wanted.displacement.displacement_mm)
    assert found.displacement.grid.matches(wanted.displacement.grid, tolerance_mm=0)
    for one, other in ((found.warped, wanted.warped), (found.warped_labels, wanted.warped_labels)):
        assert (
            np.array_equal(one.array, other.array) and one.array.dtype == other.array.dtype and one.name == other.name
        )
    assert replace(found.measures, seconds=0) == replace(wanted.measures, seconds=0)
    assert (found.method, found.notes, found.interrupted) == (wanted.method, wanted.notes, False)

    sequence = clip(4, 48)
    found = run_job(sequence_registration_job(sequence, reference_frame=2, settings={"control_stride": 8}), process)
    from UltrasoundMotionLib.registration import SequenceConfig

    wanted = register_sequence(sequence, reference_frame=2, config=SequenceConfig(control_stride=8))
    for one, other in zip(found.frames, wanted.frames, strict=True):
        assert (
            np.array_equal(one.control, other.control)
            and one.measures == other.measures
            and one.grid.matches(other.grid, tolerance_mm=0)
        )
    assert (found.reference_frame, found.mode, found.device, found.notes) == (2, "to-reference", "cpu", wanted.notes)


def test_the_first_result_is_visible_long_before_the_last(process):
    sequence = clip(400, 96)
    job = process.submit(track_job(sequence, POINTS, query_frame=3))
    wait_until(lambda: job.partial() is not None)
    early = job.partial()
    assert 0 < early.reached.sum() < 400 and early.reached[3]
    process.cancel(job)
    end = events_of(process, job)[-1]
    assert isinstance(end, JobCancelled)
    kept = end.result.reached
    assert early.reached.sum() <= kept.sum() < 400
    assert np.array_equal(end.result.positions_px[early.reached], early.positions_px[early.reached])
    assert not end.result.visible[~kept].any() and not end.result.confidence[~kept].any()


def test_ten_cancels_in_a_row_leave_one_child_and_no_data(process, folder):
    for _ in range(10):
        job = process.submit(track_job(clip(400, 96), POINTS))
        wait_until(lambda job=job: job.partial() is not None)
        process.cancel(job)
        end = events_of(process, job)[-1]
        assert isinstance(end, JobCancelled)
        assert end.result.reached.sum() < 400
    waiting = [process.submit(track_job(clip(), POINTS)) for _ in range(3)]
    process.cancel(waiting[1])
    kinds = [type(event) for event in events_of(process, waiting[2]) if isinstance(event, (JobCancelled, JobFinished))]
    assert sorted(kinds, key=str) == [JobCancelled, JobFinished, JobFinished]
    assert [list(root.iterdir()) for root in folder.iterdir()] == [[]]


def test_raising_from_progress_cancels_and_may_keep_what_was_finished(process):
    def stop(done, total, message):
        raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        run_job(track_job(clip(200), POINTS), process, progress=stop)
    kept = run_job(track_job(clip(200), POINTS), process, progress=stop, keep_partial=True)
    assert 0 < kept.reached.sum() < 200


def test_errors_come_back_as_the_librarys_own(process):
    with pytest.raises(InputError, match="no tracker named guess"):
        run_job(track_job(clip(), POINTS, model="guess"), process)
    with pytest.raises(InputError, match=r"point 0 at \(500, 3\) lies outside"):
        track_job(clip(), np.array([[500.0, 3.0]]))
    with pytest.raises(InputError, match="InstanceSettings has no speed"):
        image = Volume(speckle((16, 16)), (1.0, 1.0), (0.0, 0.0), np.eye(2))
        run_job(registration_job(image, image, settings={"speed": 3}), process)
    with pytest.raises(InputError, match=r"device nonsense is not available"):
        run_job(track_job(clip(), POINTS, device="nonsense"), process)


@pytest.mark.slow
def test_the_command_repeats_the_run(process, tmp_path, monkeypatch):
    from UltrasoundMotionLib import read_tracks_csv, write_sequence
    from UltrasoundMotionLib.cli.main import main

    sequence = clip()
    write_sequence(tmp_path / "clip.seq.nrrd", sequence)
    (tmp_path / "points.csv").write_text(
        "label,x,y\n" + "".join(f"P{i + 1},{x},{y}\n" for i, (x, y) in enumerate(POINTS))
    )
    request = track_job(sequence, POINTS, query_frame=4, direction="forward")
    monkeypatch.chdir(tmp_path)
    assert request.command[0] == "ultrasound-motion"
    assert main([*request.command[1:], "--quiet"]) == 0
    repeated = read_tracks_csv(tmp_path / "tracks.csv")
    tracks = run_job(request, process)
    assert (
        np.allclose(repeated.positions_px, tracks.positions_px, atol=1e-3, equal_nan=True)
        and repeated.reached.sum() == 8
    )


@pytest.mark.slow
def test_the_application_imports_neither_torch_nor_slicer_nor_qt():
    code = """
import sys
import numpy as np
from UltrasoundMotionLib.jobs import *
from UltrasoundMotionLib.images import ImageSequence
if __name__ == "__main__":
    frames = np.random.default_rng(0).integers(0, 255, (3, 64, 64), dtype=np.uint8)
    with JobProcess() as process:
        tracks = run_job(track_job(ImageSequence(frames=frames), np.array([[30.0, 30.0]])), process)
        field = run_job(sequence_registration_job(ImageSequence(frames=frames)), process)
    assert tracks.reached.all() and field.reached.all()
    print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "slicer", "qt", "matplotlib", "av"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=LIBRARY, capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
