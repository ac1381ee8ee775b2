"""The atlas's labels on all training images, as a data set to learn from: self-training after LT-Net, in which no other label is ever read.

    python -m UltrasoundMotionLib.training.registration.transferred_labels DATA OUT [--subjects N] [--card CARD.json]
    ultrasound-motion train anatomy --dataset hippocampus --variant one-atlas --data OUT --out ... --validate-every 0

LT-Net as published ends with the transfer. A network that learns to segment from many transferred label maps sees their errors differ from image to
image and keeps what they have in common; Lv et al. (AAAI 2023) and others train in this way after one-shot registration.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.registration_datasets import evenly, hippocampus_subjects, learned_part, read_hippocampus
from UltrasoundMotionLib.images.volume_files import write_volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.registration.learned.ltnet import TEACHER, LtnetConfig
from UltrasoundMotionLib.training.registration.ltnet_recipes import HIPPOCAMPUS_ATLAS


def write_transferred_labels(
    data: str | Path,
    out: str | Path,
    *,
    config: LtnetConfig = TEACHER,
    atlas: str = HIPPOCAMPUS_ATLAS,
    most: int | None = None,
    progress: Progress = no_progress,
) -> int:
    """Writes `out/images` and `out/labels` of training subjects, labels as `ltnet` transfers them; those of the atlas are its own.

    Subjects that are there already are left, so that it can go on after a break.

    Args:
        data: folder of MSD Task04.
        most: so many subjects only, evenly spread.

    Returns:
        The number of subjects.

    Raises:
        InputError: no such data, or no such atlas among the training subjects.
        OutputError: a file cannot be written.
    """
    names = learned_part(hippocampus_subjects(data), "train")
    if atlas not in names:
        raise InputError(f"{data}: the atlas {atlas} is not among the training subjects")
    chosen = sorted({atlas, *(names if most is None else evenly(names, most))})
    moving = read_hippocampus(data, atlas)
    out = Path(out)
    for folder in ("images", "labels"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for done, name in enumerate(chosen, start=1):
        file = f"{name}.nii.gz"
        if not (out / "labels" / file).is_file():
            fixed, labels = read_hippocampus(data, name).image, moving.labels
            if name != atlas:
                labels = register(fixed, moving.image, method="ltnet", moving_labels=labels, config=config).warped_labels
            write_volume(out / "images" / file, fixed)
            write_volume(out / "labels" / file, labels)  # last: its presence says that both are there
        progress(done, len(chosen), f"labels of {name}")
    return len(chosen)


def main() -> int:
    """Runs it from the command line."""
    from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress

    parser = argparse.ArgumentParser(description="Writes the atlas's labels, transferred to the training subjects by LT-Net, as a data set.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subjects", type=int)
    parser.add_argument("--card", help="of LT-Net's weights; default: the shipped ones")
    arguments = parser.parse_args()
    config = TEACHER if arguments.card is None else LtnetConfig(arguments.card, refine=True, guided=False)
    with TerminalProgress("transferring", "subjects") as progress:
        write_transferred_labels(arguments.data, arguments.out, config=config, most=arguments.subjects, progress=progress)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
