"""Draws the thumbnails of the samples: our simulation, in Slicer's own slice view.

`python Resources/Icons/draw_samples.py` (needs the extras `slicer` and `plot`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.slice_rendering import SliceView
from UltrasoundMotionLib.mrml.track_nodes import add_landmarks
from UltrasoundMotionLib.mrml.volume_nodes import add_segmentation, add_volume
from UltrasoundMotionLib.simulation import HeartPhantom, LiverPhantom, SimulatedSequence, simulate_heart, simulate_liver
from UltrasoundMotionLib.simulation.short_axis_heart import simulate_short_axis
from UltrasoundMotionLib.tracking import PointTracks

FOLDER = Path(__file__).resolve().parents[2] / "UltrasoundMotion" / "Resources" / "Icons"
SIZE = (260, 280)  # what Slicer's Sample Data module shows
SAMPLES = {
    "liver": lambda: simulate_liver(LiverPhantom(frame_count=2), seed=1),
    "heart": lambda: simulate_heart(HeartPhantom(frame_count=2), seed=1),
}
POINTS = {"liver": "vessel", "heart": "mid"}


def draw(simulated: SimulatedSequence, group: str, path: Path) -> None:
    """Writes the first frame with the points of one group."""
    truth = simulated.truth
    keep = [number for number, label in enumerate(truth.labels) if label in simulated.groups[group]]
    labels = tuple(truth.labels[number] for number in keep)
    points = PointTracks(truth.positions_px[:, keep], truth.confidence[:, keep], truth.visible[:, keep], labels, 0)
    with HeadlessScene() as scene, tempfile.TemporaryDirectory() as folder:
        image = add_image_sequence(scene, simulated.sequence)
        landmarks = add_landmarks(image, simulated.sequence, points)
        landmarks.proxy.GetDisplayNode().SetPointLabelsVisibility(False)
        landmarks.proxy.GetDisplayNode().SetGlyphSize(2.0 * landmarks.proxy.GetDisplayNode().GetGlyphSize())
        with SliceView(scene, image.proxy, (2 * SIZE[0], 2 * SIZE[1])) as view:
            drawn = view.write_png(Path(folder) / "sample.png")
        picture = Image.open(drawn).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
        picture.quantize(96).save(path, optimize=True)


def draw_volumes(path: Path) -> None:
    """Writes a slice of the heart at end-systole, with its segmentation and, outlined, that of end-diastole."""
    pair = simulate_short_axis(seed=1)
    with HeadlessScene() as scene, tempfile.TemporaryDirectory() as folder:
        image = add_volume(scene, pair.moving, "end-systole")
        for labels, name in ((pair.moving_labels, "end-systole"), (pair.fixed_labels, "end-diastole")):
            node = add_segmentation(scene, labels, f"{name} labels", image, filled=labels is pair.moving_labels)
            node.GetDisplayNode().SetOpacity2DFill(0.5)
        with SliceView(scene, image, (2 * SIZE[0], 2 * SIZE[1])) as view:
            drawn = view.write_png(Path(folder) / "sample.png")
        whole = Image.open(drawn).convert("RGB")
        width, height = whole.width * 0.55, whole.height * 0.55
        left, top = whole.width * 0.18, whole.height * 0.2
        picture = whole.crop((round(left), round(top), round(left + width), round(top + height)))
        picture.resize(SIZE, Image.Resampling.LANCZOS).quantize(96).save(path, optimize=True)


def main() -> None:
    """Writes them all."""
    draw_volumes(FOLDER / "sample-heart-volumes.png")
    for kind, simulate in SAMPLES.items():
        draw(simulate(), POINTS[kind], FOLDER / f"sample-{kind}.png")


if __name__ == "__main__":
    main()
