"""Measures how long the panels keep the application's main thread from its event loop, on slicer-core with real views.

    python Testing/Python/responsiveness_bench.py [CASE ...] [--json FILE]

Each case opens a panel on a scene in which three slice views with Slicer's displayable managers draw, and in which
every node has its item in the Data module; it presses Apply and waits for the result. Each call from the event loop
into the panel is timed: the longest is the longest gap in which the application answers nobody. Drawing is timed apart,
since it is done by Slicer after the calls, and at most once after each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import slicer
import vtk

import qt_stand_ins
from application_scene import application_items_everywhere
from carried_scenes import ball_segmentation, bending_volume, disc_segmentation, growing_plane, sphere_model
from landmark_bench import LandmarkBench, place, swaying_clip
from myocardial_bench import MyocardialBench, beating_clip
from registration_pairs import pair_in
from slicer_stand_ins import slicer_application
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.slice_rendering import SliceView

VIEW_SIZE = (640, 480)
VIEWS = ("Red", "Yellow", "Green")


@dataclass
class Gaps:
    """Milliseconds of each call from the event loop, and of each drawing, since the start of the case."""

    calls: list[tuple[str, float, float]] = field(default_factory=list)
    draws: list[float] = field(default_factory=list)
    _depth: int = 0

    @contextmanager
    def around(self, slot: object) -> Iterator[None]:
        """Times a slot, unless it is called from another one."""
        if self._depth:
            yield
            return
        self._depth += 1
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            self._depth -= 1
            name = getattr(slot, "__qualname__", type(slot).__name__)
            self.calls.append((name, 1e3 * (time.thread_time() - cpu), 1e3 * (time.perf_counter() - wall)))


class Views:
    """Slice views that draw when a displayable manager asks them to."""

    def __init__(self, scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLVolumeNode) -> None:
        self._views = [SliceView(scene, volume, VIEW_SIZE, name) for name in VIEWS]
        self._stale = [True] * len(self._views)
        for number, view in enumerate(self._views):
            view._managers.AddObserver(vtk.vtkCommand.UpdateEvent, lambda *_, number=number: self._ask(number))

    def _ask(self, number: int) -> None:
        self._stale[number] = True

    def draw(self) -> float:
        """Draws the views that were asked to, as the application does; returns the milliseconds, 0 for none."""
        start, drew = time.thread_time(), False
        for number, view in enumerate(self._views):
            if self._stale[number]:
                self._stale[number], drew = False, True
                view.draw()
        return 1e3 * (time.thread_time() - start) if drew else 0.0

    def close(self) -> None:
        for view in self._views:
            view.close()


@dataclass
class Row:
    """One case."""

    case: str
    longest_cpu_ms: float
    longest_wall_ms: float
    longest_call: str
    over_15_ms: int
    calls: int
    total_cpu_ms: float
    longest_draw_ms: float


def landmarks(frames: int, points: int) -> Callable:
    def prepare(scene, application):
        bench = LandmarkBench(scene, application)
        clip = swaying_clip(frames, (320, 240), "long", whole_pixels=True)
        nodes = add_image_sequence(scene, clip)
        grid = np.stack(np.meshgrid(np.linspace(80, 240, points // 2), [90, 150]), axis=-1).reshape(-1, 2)
        widget = bench.open()
        widget.parameters.inputClip = nodes.proxy
        widget.parameters.landmarks = place(scene, clip, grid, "on long")
        widget.parameters.tracker = "lucas-kanade"
        return bench, widget, nodes.proxy

    return prepare


def strain(frames: int) -> Callable:
    def prepare(scene, application):
        bench = MyocardialBench(scene, application)
        nodes = add_image_sequence(scene, beating_clip("long", frames))
        widget = bench.open()
        widget.parameters.inputClip = nodes.proxy
        return bench, widget, nodes.proxy

    return prepare


def pair(scene, application):
    module = application.load_module("DeformableRegistration")
    nodes = pair_in(scene, (48, 96, 96))
    widget = application.open_module("DeformableRegistration")
    parameters = widget.parameters
    parameters.fixedVolume, parameters.movingVolume = nodes["fixed"], nodes["moving"]
    parameters.fixedSegmentation, parameters.movingSegmentation = (
        nodes["fixed segmentation"],
        nodes["moving segmentation"],
    )
    return module, widget, nodes["fixed"]


def sequence(frames: int) -> Callable:
    def prepare(scene, application):
        bench = LandmarkBench(scene, application)
        clip = add_image_sequence(scene, swaying_clip(frames, (320, 240), "long", whole_pixels=True))
        application.load_module("DeformableRegistration")
        widget = application.open_module("DeformableRegistration")
        preset = next(one for one in type(widget.parameters.preset) if one.value.ofSequence)
        widget.parameters.preset = preset
        widget.parameters.sequenceVolume = clip.proxy
        return bench, widget, clip.proxy

    return prepare


def carried(kind: str) -> Callable:
    def prepare(scene, application):
        application.load_module("MotionPropagation")
        widget = application.open_module("MotionPropagation")
        if kind == "slice":
            image, clip, motion = growing_plane(scene)
            node = disc_segmentation(scene, image, clip)
        else:
            image, motion = bending_volume(scene)
            node = ball_segmentation(scene, image.proxy) if kind == "volume" else sphere_model(scene)
        widget.parameters.motion, widget.parameters.object = motion.proxy, node
        return None, widget, image.proxy

    return prepare


CASES = {
    "landmarks, 40 frames, 6 points": landmarks(40, 6),
    "landmarks, 100 frames, 4 points": landmarks(100, 4),
    "strain, 48 frames, 49 points": strain(48),
    "registration, 96 x 96 x 48 voxels": pair,
    "registration, 20 frames": sequence(20),
    "carried slice, 5 frames": carried("slice"),
    "carried volume, 5 frames": carried("volume"),
    "carried model, 5 frames": carried("model"),
}


def measure(case: str, *, twice: bool = False, verbose: bool = False) -> Row:
    gaps = Gaps()
    with ExitStack() as opened:
        opened.enter_context(application_items_everywhere())
        scene = opened.enter_context(HeadlessScene())
        application = opened.enter_context(slicer_application(scene))
        _, widget, volume = CASES[case](scene, application)
        views = Views(scene, volume)
        opened.callback(views.close)
        from UltrasoundMotionModuleLib.shared.background_job import sharedProcess

        sharedProcess().process.start()
        application.wait(lambda: sharedProcess().process.is_warm)
        for _ in range(20):
            qt_stand_ins.process_events(5)
        views.draw()
        process_events = qt_stand_ins.process_events

        def events_and_draw(milliseconds: int = 0) -> None:
            process_events(milliseconds)
            drawn = views.draw()
            if drawn:
                gaps.draws.append(drawn)

        qt_stand_ins.process_events = events_and_draw
        try:
            for _ in range(2 if twice else 1):
                with qt_stand_ins.around_slots(gaps.around):
                    widget.ui.applyButton.click()
                    application.wait(lambda: widget.run is None)
                    for _ in range(20):
                        qt_stand_ins.process_events(5)
        finally:
            qt_stand_ins.process_events = process_events
        print(widget.ui.statusLabel.text, application.errors, file=sys.stderr)
    if verbose:
        for name, cpu, wall in sorted(gaps.calls, key=lambda call: -call[1])[:12]:
            print(f"   {cpu:8.1f} {wall:8.1f} {name}", file=sys.stderr)
    longest = max(gaps.calls, key=lambda call: call[1])
    return Row(
        case,
        longest[1],
        max(call[2] for call in gaps.calls),
        longest[0],
        sum(call[1] > 15 for call in gaps.calls),
        len(gaps.calls),
        sum(call[1] for call in gaps.calls),
        max(gaps.draws, default=0.0),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a part of the name of each case; all when none")
    parser.add_argument("--json", metavar="FILE", help="also write the rows")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    chosen = [case for case in CASES if not arguments.cases or any(part in case for part in arguments.cases)]
    rows = [measure(case, verbose=arguments.verbose) for case in chosen]
    print("| case | longest gap (CPU) | (wall) | calls over 15 ms | calls | total | longest drawing |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(
            f"| {row.case} | {row.longest_cpu_ms:.0f} ms | {row.longest_wall_ms:.0f} ms | {row.over_15_ms} |"
            f" {row.calls} | {row.total_cpu_ms:.0f} ms | {row.longest_draw_ms:.0f} ms |"
        )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
