"""A live session in the child process: images and points are seen by the application, which sends it commands."""

import numpy as np
import pytest

from live_bench import Scanner, speckle, sway
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.sequence_files import read_sequence
from UltrasoundMotionLib.jobs import JobCancelled, JobFailed, JobProcess, JobProgress, live_job, live_view
from UltrasoundMotionLib.live import LiveRequest
from UltrasoundMotionLib.live.replay import ijk_to_ras_of
from waiting import wait_until

pytestmark = pytest.mark.own_process
POINTS = np.array([[60.0, 50.0], [100.0, 70.0]])


class Watched:
    """A job, the views of it, and its end."""

    def __init__(self, process: JobProcess, request, **options) -> None:
        self.process, self.views, self.end = process, [], None
        self.job = process.submit(live_job(request, **options))

    def poll(self) -> None:
        for event in self.process.poll():
            if isinstance(event, JobProgress):
                self.views.append(live_view(event))
            elif event.job is self.job and isinstance(event, JobCancelled | JobFailed):
                self.end = event

    def wait(self, condition) -> None:
        def polled():
            self.poll()
            return condition()

        wait_until(polled)

    @property
    def notes(self):
        return [note for view in self.views for note in view.notes]

    def shown(self):
        return [view for view in self.views if view.pixels is not None]


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with JobProcess(folder=tmp_path_factory.mktemp("jobs")) as process:
        yield process


def test_a_replay_of_a_clip_in_memory_is_seen_and_tracked(process, tmp_path):
    frames = np.stack([speckle(160, 120, sway(number)) for number in range(30)])
    clip = ImageSequence(frames, (0.5, 0.4), np.arange(30) / 30, origin_mm=(5.0, -60.0, 12.0), name="clip")
    matrix = ijk_to_ras_of(clip)
    places = POINTS @ matrix[:3, :2].T + matrix[:3, 3]
    watched = Watched(process, LiveRequest(), labels=("A", "B"), positions_ras=places, replay=clip)
    watched.wait(lambda: len([view for view in watched.shown() if view.labels]) > 5)
    view = watched.shown()[-1]
    np.testing.assert_allclose(view.ijk_to_ras, matrix, atol=1e-4)
    number = next(index for index, frame in enumerate(frames) if np.array_equal(frame, view.pixels))
    first = watched.shown()[[bool(one.labels) for one in watched.shown()].index(True)]
    start = next(index for index, frame in enumerate(frames) if np.array_equal(frame, first.pixels))
    moved = view.positions_ras - first.positions_ras
    expected = np.subtract(sway(number), sway(start)) @ matrix[:3, :2].T
    np.testing.assert_allclose(moved, np.broadcast_to(expected, moved.shape), atol=1.0)
    assert view.labels == ("A", "B") and view.visible == (True, True)
    process.send(watched.job, {"command": f"record {tmp_path / 'r.seq.nhdr'}"})
    watched.wait(lambda: (watched.views[-1].state.get("recorded") or 0) > 3)
    process.send(watched.job, {"command": "nonsense"})
    watched.wait(lambda: any("is no command" in note for note in watched.notes))
    process.send(watched.job, {"labels": ["C"], "positions_ras": places[:1].tolist()})
    watched.wait(lambda: watched.views[-1].labels == ("C",))
    process.cancel(watched.job, grace_s=10.0)
    watched.wait(lambda: watched.end is not None)
    assert isinstance(watched.end, JobCancelled)
    assert len(read_sequence(tmp_path / "r.seq.nhdr")) > 3
    assert any("recorded" in note for note in watched.notes)


def test_another_size_is_seen_too(process):
    scanner = Scanner()
    watched = Watched(process, LiveRequest(source=f"igtl://localhost:{scanner.port}"))
    scanner.accept(30.0)
    for size in ((160, 120), (200, 100)):
        scanner.image(speckle(*size))
        watched.wait(lambda size=size: bool(watched.shown()) and watched.shown()[-1].pixels.shape == size[::-1])
        np.testing.assert_array_equal(watched.shown()[-1].pixels, speckle(*size))
    assert watched.views[-1].state["state"] in ("waiting for points", "waiting for images")
    scanner.close()
    watched.wait(lambda: watched.views[-1].state["state"] == "waiting for images")
    process.cancel(watched.job, grace_s=10.0)
    watched.wait(lambda: watched.end is not None)


def test_a_port_that_is_taken_fails_with_its_line(process):
    scanner = Scanner()
    watched = Watched(process, LiveRequest(serve=str(scanner.port)))
    watched.wait(lambda: watched.end is not None)
    assert isinstance(watched.end, JobFailed) and "another live session" in watched.end.message
    scanner.close()
