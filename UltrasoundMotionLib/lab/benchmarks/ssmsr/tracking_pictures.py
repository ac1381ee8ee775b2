"""Pictures of the tracking experiment, as the paper's Fig. 2 to 4: displacements and warped frames of every method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

    from UltrasoundMotionLib.lab.benchmarks.ssmsr.echo_folder import EchoClip

_ARROWS_ACROSS = 30


class PairFields:
    """The displacements of one pair of frames of a clip by all methods, kept as files.

    Args:
        folder: of the files.
        clip: the clip.
        seed: draws the pair, as the paper draws its own at random.
    """

    def __init__(self, folder: Path, clip: EchoClip, seed: int) -> None:
        self.clip = clip
        self.number = int(np.random.default_rng(seed).choice(clip.pair_numbers))
        self.name = f"{clip.patient}-{clip.path.name.split('.')[0]}-frame-{self.number}"
        self._folder = folder / self.name

    def keep(self, method: str, displacement: Tensor) -> None:
        """Keeps the displacement (1, 2, H, W) in pixels of a method.

        Raises:
            OutputError: the file cannot be written.
        """
        with atomic_output(self._file(method)) as temporary, Path(temporary).open("wb") as file:
            np.save(file, displacement[0].numpy().astype(np.float16))

    def read(self, methods: list[str]) -> dict[str, np.ndarray]:
        """Returns the kept displacements, (2, H, W) in pixels, in the order of the methods."""
        return {name: np.load(self._file(name)).astype(np.float32) for name in methods if self._file(name).exists()}

    def _file(self, method: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        plain = "".join(letter if letter.isalnum() else "-" for letter in method)
        return self._folder / f"{plain}.npy"


@plain_text
def write_tracking_picture(path: Path, fields: PairFields, methods: list[str]) -> None:
    """Writes a PNG: above, every method's displacement as arrows in the region, from where tissue or blood is to where
    it was a frame before; below, the frame before as it is warped, and last the frame itself.

    Raises:
        InputError: no displacement was kept.
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    require_plot_packages("the picture")
    from matplotlib.figure import Figure

    kept = fields.read(methods)
    if not kept:
        raise InputError(f"{path}: no displacement of {fields.name} was kept; measure it without the kept rows")
    images = _warped(fields, kept)
    first, last = _region_bounds(fields)
    figure = Figure(figsize=(3 * len(images), 5.2), layout="constrained")
    panels = figure.subplots(2, len(images), squeeze=False)
    for above, below, (name, image) in zip(*panels, images.items(), strict=True):
        below.imshow(image, cmap="gray", vmin=0, vmax=1)
        above.imshow(images["frame"], cmap="gray", vmin=0, vmax=1)
        above.set_title(name, fontsize=9)
        if name in kept:
            _draw_arrows(above, kept[name], fields)
        for panel in (above, below):
            panel.set_axis_off()
            panel.set(xlim=(first[0], last[0]), ylim=(last[1], first[1]))
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _region(fields: PairFields) -> np.ndarray:
    """The fixed frame's region, (H, W) bool."""
    region = fields.clip.pair(fields.number).fixed_mask
    assert region is not None, "every pair of a clip has a region"
    return region[0, 0].numpy() > 0


def _region_bounds(fields: PairFields) -> np.ndarray:
    """First and last pixel (x, y) of the region, two pixels wider."""
    rows, columns = np.nonzero(_region(fields))
    return np.array([(columns.min() - 2, rows.min() - 2), (columns.max() + 2, rows.max() + 2)])


def _draw_arrows(panel: Axes, displacement: np.ndarray, fields: PairFields) -> None:
    first, last = _region_bounds(fields)
    step = max(1, round((last[0] - first[0]) / _ARROWS_ACROSS))
    rows, columns = (axis[::step, ::step].ravel() for axis in np.indices(displacement.shape[1:]))
    inside = _region(fields)[rows, columns]
    rows, columns = rows[inside], columns[inside]
    x, y = displacement[:, rows, columns]
    lengths = np.hypot(x, y)
    most = float(np.quantile(lengths, 0.95)) or 1.0
    panel.quiver(columns, rows, x, y, lengths, cmap="viridis", angles="xy", scale_units="xy", scale=most / (1.5 * step))


def _warped(fields: PairFields, kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The moving frame warped by each displacement, then the fixed frame."""
    import torch

    from UltrasoundMotionLib.fields import warp

    pair = fields.clip.pair(fields.number)
    images = {name: warp(pair.moving, torch.from_numpy(field)[None])[0, 0].numpy() for name, field in kept.items()}
    return {**images, "frame": pair.fixed[0, 0].numpy()}
