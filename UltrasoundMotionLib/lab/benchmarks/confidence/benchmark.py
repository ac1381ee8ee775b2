"""`benchmark confidence`: the command."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output, check_output_path
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.command import (
    TUNING_SEED,
    add_output_arguments,
    add_phantom_arguments,
    check_arguments,
    show,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.confidence.cases import (
    GOOD,
    KINDS,
    REAL_CLIPS,
    made_hard,
    phantom_clip,
    real_clip,
)
from UltrasoundMotionLib.lab.benchmarks.confidence.fit import fit_calibration
from UltrasoundMotionLib.lab.benchmarks.confidence.report import ConfidenceRow, confidence_row
from UltrasoundMotionLib.lab.benchmarks.confidence.samples import DECOYS, Samples, collect, collect_decoys
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target
from UltrasoundMotionLib.lab.hardened_clips import COVERING, NO_PICTURE
from UltrasoundMotionLib.lab.phantom_cases import EVALUATION_SEED
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.registry import TrackerEntry, available_trackers, find_tracker

DESCRIPTION = """Makes phantoms and public clips hard (cuts, jumps, shadows, graphics and more) and compares what
trackers say of each position, visible or not and how sure, with the truth. A position is right when its tissue is in
sight and it lies within 4 px of it, in frames of 256 px. --fit OUT.py fits the calibration instead, on seeds below
9000."""
ALL = "all"
MOST_HIDDEN, LEAST_GOOD = 0.10, 0.97
_FEWEST_DRAWN = 30
"""Positions in a bin from which on the picture shows it."""

HIDING = (*NO_PICTURE, "freeze", *COVERING)
"""Hardenings that hide points, in the order of the table's columns."""


@dataclass(frozen=True)
class TrackerLine:
    """A line of the table: what was measured of one tracker, by kind of hardening."""

    tracker: str
    rows: dict[str, ConfidenceRow]

    @property
    def clips(self) -> str:
        """Number of clips before they were made hard, and of all clips."""
        return f"{self.rows[GOOD].clips if GOOD in self.rows else '-'}, {self.rows[ALL].clips}"

    def share(self, kind: str, name: str) -> str | None:
        """Text of a share of a kind; None where there is none."""
        return getattr(self.rows[kind], name).text if kind in self.rows else None


COLUMNS: tuple[Column[TrackerLine], ...] = (
    Column("tracker", "tracker", names_method=True),
    Column("clips, made hard", "clips"),
    Column("AUC", lambda line: line.rows[ALL].auc),
    Column("ECE", lambda line: line.rows[ALL].expected_error),
    Column("right of the visible", lambda line: line.share(ALL, "correct"), unit="%"),
    Column("good: in sight and visible", lambda line: line.share(GOOD, "in_sight"), unit="%"),
    Column("jump: in sight and visible", lambda line: line.share("jump", "in_sight"), unit="%"),
    Column("own shadow: visible", lambda line: line.share(ALL, "own_shadow"), unit="%"),
    *(
        Column(f"{kind}: hidden, but visible", partial(TrackerLine.share, kind=kind, name="hidden"), unit="%")
        for kind in HIDING
    ),
)


def confidence_targets(rows: Sequence[ConfidenceRow]) -> tuple[Target, ...]:
    """At most 10 % visible where nothing or other tissue is shown; at least 97 % on good clips."""
    targets = []
    for row in rows:
        if row.kind in (*NO_PICTURE, *COVERING) and row.hidden.count:
            goal, value, met = f"at most {100 * MOST_HIDDEN:.0f} %", row.hidden.value, row.hidden.value <= MOST_HIDDEN
            what = f"{row.tracker}, {row.kind}: hidden, but visible"
        elif row.kind == GOOD:
            goal, value = f"at least {100 * LEAST_GOOD:.0f} %", row.in_sight.value
            what, met = f"{row.tracker}, {row.kind}: in sight and visible", value >= LEAST_GOOD
        else:
            continue
        targets.append(Target(what, goal, f"{100 * value:.1f} %", met))
    return tuple(targets)


def confidence_rows(samples: Sequence[Samples]) -> tuple[ConfidenceRow, ...]:
    """Pools samples by tracker: over all kinds of hardening, and by kind."""
    rows = []
    for tracker in dict.fromkeys(one.tracker for one in samples):
        own = [one for one in samples if one.tracker == tracker]
        rows.append(confidence_row(ALL, tracker, own))
        for kind in KINDS:
            some = [one for one in own if one.kind == kind]
            if some:
                rows.append(confidence_row(kind, tracker, some))
    return tuple(rows)


def draw_reliability(rows: Sequence[ConfidenceRow], path: Path) -> None:
    """Draws the reliability curve of each tracker over all clips, where bins hold 30 positions or more, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="as it should be")
    for row in rows:
        if row.kind == ALL:
            curve = row.reliability
            known = curve.count >= _FEWEST_DRAWN
            if known.sum() < 2:
                continue
            axes.plot(curve.confidence[known], curve.right[known], marker="o", markersize=3, label=row.tracker)
    axes.set(xlabel="confidence", ylabel="share of positions that are right", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8)
    FigureCanvasAgg(figure)
    with atomic_output(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "confidence",
        help="visibility and confidence on clips made hard; the fit of their model",
        description=DESCRIPTION,
    )
    add_phantom_arguments(parser, difficulties=("moderate", "hard"), count=2)
    parser.add_argument("--frames", metavar="N", type=whole_number, default=36, help="frames of each clip (default 36)")
    parser.add_argument("--models", metavar="M", nargs="+", help="our trackers by name (default: all of `models list`)")
    parser.add_argument(
        "--hardenings", metavar="H", nargs="+", choices=KINDS, default=KINDS, help="(default: all, good among them)"
    )
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help=f"folder of public data that holds {', '.join(REAL_CLIPS.values())}"
    )
    parser.add_argument(
        "--real", metavar="NAME", nargs="*", choices=tuple(REAL_CLIPS), default=tuple(REAL_CLIPS), help="of these clips"
    )
    parser.add_argument("--real-from", metavar="N", type=int, default=0, help="first frame of those clips (default 0)")
    parser.add_argument(
        "--keep", metavar="DIR", type=Path, help="folder that keeps each run, so that work goes on there"
    )
    parser.add_argument("--plot", metavar="OUT.png", type=Path, help="draw the reliability curves")
    parser.add_argument("--fit", metavar="OUT.py", type=Path, help="fit the calibration to all runs of --keep")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    for path in (arguments.plot, arguments.fit):
        if path:
            check_output_path(path)
    if arguments.fit and arguments.seed >= EVALUATION_SEED:
        raise InputError(f"--seed {arguments.seed}: seeds from {EVALUATION_SEED} on are for evaluation; fit on others")
    if arguments.models is None:
        entries = [entry for entry in available_trackers() if entry.online]
    else:
        entries = [find_tracker(name) for name in arguments.models]
    with TerminalProgress("benchmark", "runs") as progress:
        samples = list(_all_samples(arguments, entries, progress))
    if arguments.fit:
        if arguments.keep:
            samples = [Samples.load(path) for path in sorted(arguments.keep.glob("*.npz"))]
        names = sorted({one.clip for one in samples})
        origin = f"Fitted to {len(samples)} runs on {len(names)} clips: {', '.join(names)}."
        fit_calibration(samples).write(arguments.fit, "\n".join(textwrap.wrap(origin, 118)))
        return 0
    rows = confidence_rows(samples)
    if arguments.plot:
        draw_reliability(rows, arguments.plot)
    by_tracker = {
        name: {row.kind: row for row in rows if row.tracker == name} for name in [row.tracker for row in rows]
    }
    lines = [TrackerLine(name, kinds) for name, kinds in by_tracker.items()]
    details = {"seed": arguments.seed}
    show(BenchmarkResult(COLUMNS, rows, confidence_targets(rows), details, lines=lines), arguments)
    return 0


def _all_samples(
    arguments: argparse.Namespace, entries: Sequence[TrackerEntry], progress: Callable[[int, int, str], None]
) -> Iterator[Samples]:
    """Yields the samples of each tracker on each clip, from the folder that keeps them where they are there."""
    clips = _clips(arguments)
    total, done = len(clips) * len(entries) * len(arguments.hardenings), 0
    for clip in clips:
        wanted = [(kind, entry.name) for kind in arguments.hardenings for entry in entries]
        if arguments.fit:
            wanted += [(kind, "") for kind in DECOYS]
        kept = {key: _kept_path(arguments, clip.name, *key) for key in wanted}
        missing = [key for key, path in kept.items() if path is None or not path.exists()]
        for key, path in kept.items():
            if key not in missing and path is not None:
                yield Samples.load(path).judged_anew()
        if not missing:
            continue
        sequence, truth = clip.make()
        for key, found in _made_samples(sequence, truth, missing, entries):
            progress(done, total, f"{clip.name} {' '.join(key)}")
            path = kept[key]
            if path is not None:
                found.save(path)
            yield found
            done += 1


def _made_samples(
    sequence: ImageSequence, truth: PointTracks, wanted: Sequence[tuple[str, str]], entries: Sequence[TrackerEntry]
) -> Iterator[tuple[tuple[str, str], Samples]]:
    """Yields what is wanted of a clip, by kind of hardening and tracker."""
    for kind in DECOYS:
        if (kind, "") in wanted:
            yield (kind, ""), collect_decoys(kind, sequence, truth, sum(map(ord, sequence.name)))
    kinds = [kind for kind in KINDS if any(kind == key[0] for key in wanted)]
    for hard in made_hard(sequence, truth, kinds, _other_view(sequence)):
        for entry in entries:
            if (hard.kind, entry.name) in wanted:
                yield (hard.kind, entry.name), collect(hard, entry)


@dataclass(frozen=True)
class _Clip:
    """A clip that is made when it is needed."""

    name: str
    make: Callable[[], tuple[ImageSequence, PointTracks]]


def _clips(arguments: argparse.Namespace) -> list[_Clip]:
    """Returns the clips asked for."""
    clips = []
    for kind in arguments.kind:
        for difficulty in arguments.difficulty:
            for number in range(arguments.count):
                make = partial(
                    phantom_clip, kind, difficulty, number, seed=arguments.seed, frame_count=arguments.frames
                )
                clips.append(_Clip(f"{kind}-{difficulty}-{arguments.seed}-{number}", make))
    for name in arguments.real if arguments.data else ():
        make = partial(real_clip, arguments.data, name, frame_count=arguments.frames, first=arguments.real_from)
        clips.append(_Clip(f"{name}-{arguments.real_from}", make))
    return clips


def _other_view(sequence: ImageSequence) -> np.ndarray:
    """Returns frames (T, H, W) of another view: a phantom of the other organ, of the tuning seed."""
    kind = "heart" if "liver" in sequence.name else "liver"
    other, _ = phantom_clip(kind, "moderate", 0, seed=TUNING_SEED, frame_count=12)
    return np.stack([other.frame(index) for index in np.arange(len(sequence)) % len(other)])


def _kept_path(arguments: argparse.Namespace, name: str, kind: str, tracker: str) -> Path | None:
    return arguments.keep / f"{name} {kind} {tracker}.npz" if arguments.keep else None
