"""Draws label-transfer.png: one atlas's labels on two validation subjects, their own labels, and the confidence.

python Resources/Screenshots/draw_label_transfer.py DATA/hippocampus Resources/Screenshots/label-transfer.png
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from UltrasoundMotionLib.lab.registration_datasets import LabelledImage, read_hippocampus
from UltrasoundMotionLib.registration import transfer_labels

ATLAS, SUBJECTS = "hippocampus_263", ("hippocampus_311", "hippocampus_309")
COLORS = {1: "#ffb000", 2: "#3aa0ff"}


def plane_of(subject: LabelledImage) -> tuple[slice | int, ...]:
    """The sagittal plane through the middle of the labels, cut to the image without its padding."""
    inside = np.argwhere(subject.image.array > 0)
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    return (
        slice(low[0], high[0]),
        slice(low[1], high[1]),
        round(float(np.argwhere(subject.labels.array > 0)[:, 2].mean())),
    )


def draw(axes: plt.Axes, image: np.ndarray, labels: np.ndarray, title: str) -> None:
    """An image with the outlines of its labels."""
    axes.imshow(image, cmap="gray", origin="lower", vmin=0, vmax=np.percentile(image, 99.7))
    for value, color in COLORS.items():
        axes.contour(labels == value, [0.5], colors=color, linewidths=1.6)
    axes.set_title(title, fontsize=9)


def main(folder: str, out: str) -> None:
    """Draws it."""
    atlas = read_hippocampus(folder, ATLAS)
    figure, rows = plt.subplots(len(SUBJECTS), 4, figsize=(11.2, 2.3 * len(SUBJECTS)))
    for row, name in zip(rows, SUBJECTS, strict=True):
        subject = read_hippocampus(folder, name)
        found = transfer_labels(subject.image, atlas.image, atlas.labels, fixed_labels=subject.labels)
        plane, overlap = plane_of(subject), found.registration.measures.labels
        image, own, given = (one.array[plane] for one in (subject.image, subject.labels, found.labels))
        draw(
            row[0], atlas.image.array[plane_of(atlas)], atlas.labels.array[plane_of(atlas)], "the atlas and its labels"
        )
        draw(row[1], image, given, f"{name.replace('hippocampus_', 'subject ')}: labels brought")
        draw(row[2], image, own, f"its own labels (Dice {overlap[1].dice:.2f}, {overlap[2].dice:.2f})")
        shown = row[3].imshow(found.confidence.array[plane], origin="lower", vmin=0, vmax=1, cmap="viridis")
        row[3].contour(given != own, [0.5], colors="red", linewidths=1)
        row[3].set_title("confidence (red: wrong label)", fontsize=9)
        figure.colorbar(shown, ax=row[3], fraction=0.034, pad=0.02)
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
    figure.tight_layout()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
