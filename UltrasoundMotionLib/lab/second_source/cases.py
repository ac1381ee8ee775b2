"""Cases of the second source: drawn by a seed, simulated once, and kept in a folder if one is given."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.strain.cases import LAYERS, StrainCase
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase, choose_points, thin_points
from UltrasoundMotionLib.lab.second_source import DIFFICULTIES, SCENES
from UltrasoundMotionLib.lab.second_source.clip import Clip, Image, ProbeImage, make_clip
from UltrasoundMotionLib.lab.second_source.echo import EchoScene, draw_echo_scene
from UltrasoundMotionLib.lab.second_source.liver import draw_liver_scene
from UltrasoundMotionLib.lab.second_source.pymust_image import SCATTERERS, PymustImage, affordable_probe
from UltrasoundMotionLib.lab.second_source.scene import Scene
from UltrasoundMotionLib.lab.second_source.settings import draw_console, draw_noise_db, draw_probe

FRAME_COUNT = 64
MOST_POINTS = 48
SEGMENT_COUNT = 6
_LEAD_IN = 0.1
"""A clip for strain holds one beat and this part of one before and after it."""


@dataclass(frozen=True)
class SecondSourceCase:
    """A clip of the second source and everything that is known of it.

    Attributes:
        scene, difficulty: what it shows.
        by_pymust: whether PyMUST formed its images.
        name: of the clip.
        clip: frames and the truth of all its points.
        drawn: the scene.
        beats: (T,) phase of each frame in beats, the first end-diastole being 1; None without a heart.
    """

    scene: str
    difficulty: str
    by_pymust: bool
    name: str
    clip: Clip
    drawn: Scene
    beats: np.ndarray | None

    @property
    def kind(self) -> str:
        """The group that it is reported in."""
        return f"{self.scene} by PyMUST" if self.by_pymust else self.scene

    def benchmark_case(self, most_points: int = MOST_POINTS) -> BenchmarkCase:
        """Returns the points that the first frame shows, evenly thinned, as other benchmarks have them."""
        truth = choose_points(self.clip.truth, np.flatnonzero(self.clip.truth.visible[0]))
        truth = thin_points(truth, most_points)
        return BenchmarkCase(self.kind, self.difficulty, self.name, self.clip.sequence, truth)

    def strain_case(self) -> StrainCase:
        """Returns the first whole beat with the exact strain of its mid-wall.

        Raises:
            InputError: it shows no heart.
        """
        if self.beats is None or not isinstance(self.drawn, EchoScene):
            raise InputError(f"{self.name}: shows no ventricle, so it has no strain")
        start, end = np.searchsorted(self.beats, (1 - _LEAD_IN, 2 + _LEAD_IN))
        frames = slice(max(int(start), 0), min(int(end) + 1, len(self.beats)))
        curve, segments = self._strain_curves(self.drawn)
        diastole, after = (int(np.argmin(np.abs(self.beats - beat))) for beat in (1, 2))
        systole = diastole + int(np.argmin(curve[diastole:after]))
        relative = [100 * ((1 + one) / (1 + one[diastole]) - 1) for one in (curve, segments)]
        sequence = self.clip.sequence
        assert sequence.times_s is not None
        cut = ImageSequence(
            np.asarray(sequence.frames)[frames],
            sequence.spacing_mm,
            sequence.times_s[frames],
            sequence.origin_mm,
            name=self.name,
        )
        labels = self.clip.truth.labels
        truth = self.clip.truth
        return StrainCase(
            difficulty=self.difficulty,
            name=self.name,
            sequence=cut,
            truth=type(truth)(
                truth.positions_px[frames],
                truth.confidence[frames],
                truth.visible[frames],
                labels,
                0,
                cut.times_s,
                truth.spacing_mm,
                model="truth",
            ),
            layers={name: tuple(label for label in labels if label.startswith(name)) for name in LAYERS},
            gls_percent=float(relative[0][systole]),
            peak_systolic_percent=relative[1][diastole : systole + 1].min(axis=0),
            end_diastole_frame=diastole - frames.start,
            end_systole_frame=systole - frames.start,
            next_end_diastole_frame=after - frames.start,
        )

    @staticmethod
    def _strain_curves(scene: EchoScene) -> tuple[np.ndarray, np.ndarray]:
        """Relative change of the mid-wall's length against frame 0, (T,), and of its sixths, (T, 6)."""
        contour = scene.ventricle.layer("mid", 100 * SEGMENT_COUNT + 1)
        lengths = []
        for frame in range(len(scene.times_s)):
            steps = np.linalg.norm(np.diff(scene.moved(contour, frame), axis=0), axis=1)
            lengths.append(steps.reshape(SEGMENT_COUNT, -1).sum(axis=1))
        each = np.array(lengths)
        return each.sum(axis=1) / each[0].sum() - 1, each / each[0] - 1


def second_source_cases(
    scenes: Sequence[str] = SCENES,
    difficulties: Sequence[str] = ("hard",),
    *,
    count: int,
    seed: int,
    pymust_count: int = 0,
    cache: Path | None = None,
) -> Iterator[SecondSourceCase]:
    """Simulates one case after the other.

    Args:
        count: cases of each scene and difficulty whose images are formed by our own probe.
        seed: of the set; the same seed gives the same cases.
        pymust_count: of further cases, of each scene and difficulty, by PyMUST.
        cache: folder that keeps the clips; one that is there already is read.

    Raises:
        InputError: a scene, difficulty or seed that does not exist; a clip in `cache` that cannot be read.
        MissingPackageError: PyMUST is asked for and is not installed.
    """
    for name, chosen, known in (("scene", scenes, SCENES), ("difficulty", difficulties, DIFFICULTIES)):
        for one in chosen:
            if one not in known:
                raise InputError(f"{name} {one!r} does not exist; there are {', '.join(known)}")
    if seed < 0:
        raise InputError(f"seed {seed} must not be negative")
    for scene in scenes:
        for difficulty in difficulties:
            for by_pymust, number_of in ((False, count), (True, pymust_count)):
                for number in range(number_of):
                    yield _case(scene, difficulty, by_pymust, number, seed=seed, cache=cache)


def _case(
    scene: str, difficulty: str, by_pymust: bool, number: int, *, seed: int, cache: Path | None
) -> SecondSourceCase:
    hard = difficulty == "hard"
    rng = np.random.default_rng([seed, SCENES.index(scene), hard, by_pymust, number])
    beats: np.ndarray | None = None
    drawn: Scene
    if scene == "echo":
        drawn, beats = draw_echo_scene(rng, hard, FRAME_COUNT)
    else:
        drawn = draw_liver_scene(rng, hard, FRAME_COUNT)
    probe, console, noise_db = draw_probe(rng, scene), draw_console(rng, hard), draw_noise_db(rng, hard)
    name = f"{scene}-{difficulty}-{'pymust-' if by_pymust else ''}{number + 1}-seed-{seed}"
    kept = None if cache is None else cache / f"{name}-{_version()}.npz"
    if kept is not None and kept.exists():
        clip = _read(kept, name)
    else:
        most = None
        image: Image
        if by_pymust:
            probe, most = affordable_probe(probe), SCATTERERS
            image = PymustImage(probe, noise_db)
        else:
            image = ProbeImage(probe, noise_db)
        clip = make_clip(drawn, probe, console, name, rng, image=image, most_scatterers=most)
        if kept is not None:
            _write(kept, clip)
    return SecondSourceCase(scene, difficulty, by_pymust, name, clip, drawn, beats)


def _version() -> str:
    """Names the simulator's source text, so that clips of an older one are not taken for its own."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _write(path: Path, clip: Clip) -> None:
    sequence, truth = clip.sequence, clip.truth
    with atomic_output(path) as temporary:
        np.savez_compressed(
            temporary,
            frames=np.stack([np.asarray(sequence.frames[index]) for index in range(len(sequence))]),
            spacing_mm=np.array(sequence.spacing_mm),
            times_s=np.asarray(sequence.times_s),
            origin_mm=np.array(sequence.origin_mm),
            positions_px=truth.positions_px,
            visible=truth.visible,
            labels=np.array(truth.labels),
        )


def _read(path: Path, name: str) -> Clip:
    from UltrasoundMotionLib.tracking.point_tracks import PointTracks

    try:
        with np.load(path, allow_pickle=False) as kept:
            spacing = (float(kept["spacing_mm"][0]), float(kept["spacing_mm"][1]))
            x, y, z = (float(value) for value in kept["origin_mm"])
            times, visible = kept["times_s"], kept["visible"]
            sequence = ImageSequence(kept["frames"], spacing, times, (x, y, z), name=name)
            truth = PointTracks(
                kept["positions_px"],
                np.ones(visible.shape),
                visible,
                tuple(str(label) for label in kept["labels"]),
                0,
                times,
                spacing,
                model="truth",
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no kept clip of the second source ({error}); remove it") from error
    return Clip(sequence, truth)
