"""The kind of images is recognised on real hearts, hippocampi and clips, and not where they are something else."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from UltrasoundMotionLib import read_volume
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.image_kind import (
    ImageEvidence,
    ImageKind,
    recognise_clip,
    recognise_images,
)
from UltrasoundMotionLib.simulation.short_axis_heart import ShortAxisHeart, simulate_short_axis


def volume(array, spacing_mm=(1.0, 1.0, 1.0), name="image"):
    return Volume(array, spacing_mm, (0.0, 0.0, 0.0), np.eye(3), name)


def recognised(*volumes, **facts):
    return recognise_images(*[ImageEvidence(one, **facts) for one in volumes])


def tissue(shape, seed, smoothing):
    made = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), smoothing)
    return (400 + 120 * made / made.std()).astype(np.float32)


@pytest.fixture(scope="module")
def heart():
    return simulate_short_axis(ShortAxisHeart(size=(8, 104, 96), spacing_mm=(2.4, 2.4, 10.0)), seed=2)


@pytest.mark.slow
def test_real_hearts_are_recognised(shared_data):
    patients = sorted(shared_data("acdc").glob("patient*"))[::5]
    found = []
    for patient in patients:
        phases = [path for path in sorted(patient.glob("*.nii.gz")) if "gt" not in path.name]
        found.append(recognised(*map(read_volume, phases)))
    assert all(one.kind in (ImageKind.CARDIAC_CINE, ImageKind.OTHER) for one in found)
    assert sum(one.certain for one in found) >= 0.9 * len(patients)
    assert "mm are a stack of thick slices" in found[-1].reason


def test_two_hearts_are_not_two_phases(shared_data):
    patients = sorted(shared_data("acdc").glob("patient*"))[:12:2]
    firsts = [read_volume(sorted(one.glob("*frame??.nii.gz"))[0]) for one in patients]
    found = [recognised(*pair) for pair in pairwise(firsts)]
    assert {one.kind for one in found} == {ImageKind.OTHER}
    assert any("not of one scan" in one.reason for one in found)


@pytest.mark.slow
def test_real_hippocampi_are_recognised(shared_data):
    images = [read_volume(path) for path in sorted(shared_data("hippocampus/images").iterdir())[::10]]
    found = [recognised(*pair) for pair in pairwise(images)]
    assert {(one.kind, one.certain) for one in found} == {(ImageKind.HIPPOCAMPUS, True)}
    size = " x ".join(str(one) for one in images[-2].array.shape[::-1])
    assert found[-1].reason.startswith(f"{size} voxels of 1 mm are the size of one hippocampus")


def test_foreign_labels_raise_a_doubt(shared_data):
    images = [read_volume(path) for path in sorted(shared_data("hippocampus/images").iterdir())[:2]]
    assert recognised(*images, labels=(1, 2)).kind is ImageKind.HIPPOCAMPUS
    doubtful = recognised(*images, labels=(1, 7))
    assert (doubtful.kind, doubtful.certain) == (ImageKind.OTHER, False) and "(7)" in doubtful.reason


def test_slices_of_a_heart_are_no_volume(shared_data):
    files = sorted(shared_data("sunnybrook-ed-es/images").rglob("*.png"))[:2]
    from PIL import Image

    pictures = [np.asarray(Image.open(path).convert("L"))[None] for path in files]
    found = recognised(*map(volume, pictures))
    assert (found.kind, found.certain) == (ImageKind.OTHER, False) and "single slices" in found.reason


def test_a_liver_is_a_clip(shared_data):
    from UltrasoundMotionLib.images import read_sequence

    sequence = read_sequence(shared_data("liver-free-breathing/frames"))
    frame = volume(np.asarray(sequence.frame(0))[None], name="liver")
    found = recognise_clip(ImageEvidence(frame, frame_count=sequence.frames.shape[0]))
    assert (found.kind, found.certain) == (ImageKind.CLIP, True) and "100 frames of one slice" in found.reason


def test_a_clip_is_not_called_ultrasound_against_its_header():
    frame = volume(np.zeros((1, 8, 8)))
    assert recognise_clip(ImageEvidence(frame, frame_count=30, modality="US")).certain
    assert not recognise_clip(ImageEvidence(frame, frame_count=30, modality="MR")).certain
    assert recognise_clip(ImageEvidence(frame)).kind is ImageKind.OTHER


def test_the_drawn_heart_is_recognised_and_other_changes_of_it_are_not(heart):
    assert recognised(heart.fixed, heart.moving).kind is ImageKind.CARDIAC_CINE
    noise = np.random.default_rng(0).normal(0, 40, heart.fixed.array.shape)
    for changed, reason in (
        (heart.fixed.array, "do not differ"),
        (heart.fixed.array + noise, "differ all over"),
        (shift(heart.fixed.array.astype(float), (0, 0.6, 0.6), order=1, mode="nearest"), "differ all over"),
    ):
        found = recognised(heart.fixed, replace(heart.fixed, array=changed))
        assert (found.kind, found.certain) == (ImageKind.OTHER, False) and reason in found.reason


def brain(seed, size=256):
    """A head of 1 mm in air: skull, brain with texture."""
    lines = np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij", sparse=True)
    radius = sum((line / reach) ** 2 for line, reach in zip(lines, (0.8, 0.75, 0.6), strict=True))
    texture = np.kron(tissue((size // 4,) * 3, seed, 1.5), np.ones((4, 4, 4), dtype=np.float32))
    return volume(np.where(radius < 1, texture, 0).astype(np.int16), name="brain")


def test_a_whole_brain_is_something_else():
    found = recognised(brain(1), brain(2), names=("hippocampus study",))
    assert (found.kind, found.certain) == (ImageKind.OTHER, False)
    assert "256 x 256 x 256 voxels of 1 mm" in found.reason and "names decide nothing" in found.reason


def test_a_brain_in_thick_slices_twice_is_no_heart():
    whole = brain(1, 128).array[::6].astype(np.float32)
    rng = np.random.default_rng(1)
    twice = [volume(np.hypot(whole + rng.normal(0, 15, whole.shape), 9), (1.8, 1.8, 6.0), "brain") for _ in range(2)]
    assert recognised(*twice).kind is ImageKind.OTHER


def test_a_chest_in_ct_is_something_else():
    chest = tissue((40, 128, 128), 3, 3) - 400
    chest[:, :20] = -1000
    again = shift(chest, (0, 2, 0), order=1, mode="nearest")
    found = recognised(volume(chest, (3.0, 3.0, 8.0), "chest"), volume(again, (3.0, 3.0, 8.0), "chest"))
    assert (found.kind, found.certain) == (ImageKind.OTHER, False) and "as in CT" in found.reason
    shown = recognised(volume(chest + 1000), volume(again + 1000), modality="CT")
    assert shown.kind is ImageKind.OTHER and "DICOM calls image CT" in shown.reason


@pytest.mark.parametrize("smoothing", [0, 1, 2])
def test_small_volumes_of_anything_are_no_hippocampi(smoothing):
    found = recognised(*[volume(tissue((35, 51, 35), seed, smoothing)) for seed in (1, 2)])
    assert (found.kind, found.certain) == (ImageKind.OTHER, False)


def test_a_modality_that_is_not_mri_decides(heart):
    assert "DICOM calls Simulated end-diastole US" in recognised(heart.fixed, heart.moving, modality="US").reason
    assert recognised(heart.fixed, heart.moving, modality="MR").kind is ImageKind.CARDIAC_CINE
