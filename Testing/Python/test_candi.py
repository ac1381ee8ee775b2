"""LT-Net's experiment on a copy of CANDIShare: the folder, its parts, the atlas, and a training from end to end."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import Volume, read_volume, write_volume
from UltrasoundMotionLib.lab import candi
from UltrasoundMotionLib.lab.benchmarks.registration.benchmark import registration_columns
from UltrasoundMotionLib.lab.benchmarks.registration.protocols import default_atlas, protocol_pairs

SPACING = (0.94, 0.94, 1.5)
SHAPE = (16, 32, 32)
NAMES = ("BPDwoPsy_030", "BPDwPsy_065", "HC_001", "HC_002", "HC_003", "SS_084")


def brain(seed, size=(18, 36, 36)):
    """An image and labels of four structures, one of which (26, accumbens) is none of the 28."""
    values = gaussian_filter(np.random.default_rng(seed).standard_normal(size), 4)
    values = (values - values.min()) / np.ptp(values)
    labels = np.select([values > 0.7, values > 0.6, values > 0.5, values > 0.45], [17, 53, 2, 26], 0)
    return (100 * values).astype(np.float32), labels.astype(np.uint8)


def write_subject(folder, name, image, labels, *, spacing=SPACING, ending="_seg.nii.gz"):
    place = folder / name.split("_")[0] / name
    place.mkdir(parents=True, exist_ok=True)
    write_volume(place / f"{name}_procimg.nii.gz", Volume(image, spacing, (3, 4, 5), np.eye(3)))
    write_volume(place / f"{name}{ending}", Volume(labels, spacing, (3, 4, 5), np.eye(3)))
    return place


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A drawn folder in CANDI's layout, by groups; one group writes its labels with a dot, as some of them do."""
    monkeypatch.setattr(candi, "CANDI_SHAPE", SHAPE)
    folder = tmp_path / "SchizBull_2008"
    for number, name in enumerate(NAMES):
        write_subject(folder, name, *brain(number), ending=".seg.nii.gz" if name.startswith("SS") else "_seg.nii.gz")
    return folder


def test_the_28_structures_are_those_of_the_paper_s_table():
    left = (2, 3, 4, 7, 8, 10, 11, 12, 13, 17, 18, 28)
    right = (41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 60)
    assert set(candi.CANDI_LABELS) == {*left, *right, 14, 15, 16, 24} and len(candi.CANDI_LABELS) == 28
    for one, other in zip(left, right, strict=True):
        assert candi.CANDI_LABELS[one].removeprefix("left ") == candi.CANDI_LABELS[other].removeprefix("right ")
    assert len(registration_columns(list(candi.CANDI_LABELS), list(candi.CANDI_LABELS.values()))) < 20


def test_parts_are_fixed_and_as_large_as_the_paper_s():
    names = [f"HC_{number:03d}" for number in range(1, 104)]
    train, held_out = (candi.candi_part(names, part) for part in ("train", "held-out"))
    assert (len(train), len(held_out)) == (83, 20)
    assert not set(train) & set(held_out) and set(train) | set(held_out) == set(names)
    assert candi.candi_part(names, "train") == train


def test_a_subject_is_cut_around_its_middle_and_other_structures_are_background(copy):
    assert candi.candi_subjects(copy) == tuple(sorted(NAMES))
    image, labels = brain(5)
    one = candi.read_candi(copy, "SS_084")
    cut = np.s_[1:-1, 2:-2, 2:-2]
    assert np.array_equal(one.labels.array, np.where(labels == 26, 0, labels)[cut])
    assert np.corrcoef(one.image.array.ravel(), image[cut].ravel())[0, 1] > 0.99
    assert one.image.array.shape == SHAPE and one.image.array.min() >= 0 and one.image.array.max() <= 1
    assert one.image.spacing_mm == pytest.approx(SPACING)


def test_a_small_volume_is_padded_to_the_paper_s_grid(tmp_path):
    write_subject(tmp_path, "HC_001", *brain(0))
    one = candi.read_candi(tmp_path, "HC_001")
    assert one.image.array.shape == (128, 160, 160)  # 160 x 160 x 128 in the order of the file's axes
    assert one.labels.array[55:73, 62:98, 62:98].any() and not one.labels.array[:55].any()


def test_the_atlas_is_the_one_most_like_the_mean():
    random = np.random.default_rng(0)
    shared = random.standard_normal((8, 8, 8))
    images = {str(n): shared + noise * random.standard_normal((8, 8, 8)) for n, noise in enumerate((2, 1, 0.1, 1.5))}
    assert candi.most_average(images) == "2"
    assert candi.most_average({name: 7 * image + 100 for name, image in images.items()}) == "2"


def test_the_pairs_are_the_atlas_on_each_held_out_subject(copy):
    subjects = candi.candi_subjects(copy)
    atlas = candi.candi_atlas(copy, candi.candi_part(subjects, "train"))
    assert default_atlas("candi-one-atlas", copy) == atlas
    pairs = protocol_pairs("candi-one-atlas", copy, atlas=atlas)
    assert [pair.name for pair in pairs] == [f"{name} < {atlas}" for name in candi.candi_part(subjects, "held-out")]
    other = next(name for name in subjects if name != atlas)
    assert all(pair.moving.image.name == other for pair in protocol_pairs("candi-one-atlas", copy, atlas=other))


def test_a_training_leaves_weights_that_register(copy, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["train", "ltnet-published", "--dataset", "candi", "--data", copy, "--out", out, "--steps", 2, "--quiet"]
    assert main([str(word) for word in (*words, "--losses", "smoothness=0.5")]) == 0
    card = json.loads((out / "ltnet-published-candi.json").read_text())
    subjects = candi.candi_subjects(copy)
    train = candi.candi_part(subjects, "train")
    assert card["configuration"]["atlas"] == candi.candi_atlas(copy, train)
    assert len(card["configuration"]["domain"]["labels"]) == 28
    assert card["configuration"]["domain"]["spacing_mm"] == pytest.approx(SPACING)
    assert card["configuration"]["losses"]["smoothness"] == 0.5 and card["configuration"]["losses"]["reverse"] == 0
    assert card["configuration"]["network"]["shared"] is False
    assert "--losses smoothness=0.5" in card["command"] and card["command"].startswith(
        "ultrasound-motion train ltnet-p"
    )
    assert f"{len(train)} T1 volumes" in card["trained_on"][0]

    capsys.readouterr()
    files = [str(tmp_path / name) for name in ("fixed.nii.gz", "atlas.nii.gz", "labels.nii.gz")]
    fixed, moving = (candi.read_candi(copy, name) for name in ("HC_001", "HC_002"))
    for file, volume in zip(files, (fixed.image, moving.image, moving.labels), strict=True):
        write_volume(file, volume)
    words = ["register", *files[:2], "--method", "ltnet-published", "--weights", out / "ltnet-published-candi.json"]
    words += [
        "--moving-labels",
        files[2],
        "--out-labels",
        tmp_path / "l.nii.gz",
        "--out-displacement",
        tmp_path / "u.nrrd",
    ]
    words += ["--out-confidence", tmp_path / "c.nii.gz", "--initial", "none", "--quiet"]
    assert main([str(word) for word in words]) == 0
    assert set(np.unique(read_volume(tmp_path / "l.nii.gz").array)) <= {0, 2, 17, 53}


def test_bad_input_is_one_sentence(copy, tmp_path, capsys):
    def refused(call, *arguments, **given):
        with pytest.raises(InputError) as error:
            call(*arguments, **given)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "no NAME_procimg.nii.gz; expected the folder of CANDIShare" in refused(candi.candi_subjects, tmp_path / "no")
    assert "got 2 subjects" in refused(candi.candi_part, NAMES[:2], "train")
    assert "part: CANDI has train, held-out, got 'validation'" in refused(candi.candi_part, NAMES, "validation")
    assert "HC_009_procimg.nii.gz" in refused(candi.read_candi, copy, "HC_009")
    assert "0.94 x 0.94 x 1.5 mm, the subjects before it of 1 x 1 x 1 mm" in refused(
        candi.read_candi, copy, "HC_001", (1.0, 1.0, 1.0)
    )
    image, labels = brain(0)
    place = write_subject(copy, "HC_001", image, 0 * labels)
    assert "none of the 28 structures is in its labels" in refused(candi.read_candi, copy, "HC_001")
    write_subject(copy, "HC_001", 0 * image, labels)
    assert "has no contrast" in refused(candi.read_candi, copy, "HC_001")
    write_subject(copy, "HC_001", image, labels[1:])
    assert "(36, 36, 18) voxels, its labels have (36, 36, 17)" in refused(candi.read_candi, copy, "HC_001")
    (place / "HC_001_seg.nii.gz").unlink()
    assert "no HC_001_seg.nii.gz" in refused(candi.read_candi, copy, "HC_001")
    assert "part held-out: the pairs of candi-one-atlas are fixed" in refused(
        protocol_pairs, "candi-one-atlas", copy, part="held-out"
    )
    assert "atlas HC_777: is none of the 6 subjects of CANDI" in refused(
        protocol_pairs, "candi-one-atlas", copy, atlas="HC_777"
    )
    words = ["train", "ltnet-published", "--dataset", "candi", "--data", str(copy), "--out", str(tmp_path / "o")]
    for more, said in (
        (["--atlas", "HC_777"], "atlas: HC_777 is not among the"),
        (["--losses", "smooth=1"], "losses: expected terms among"),
        (["--validate-every", "5"], "validate-every: the paper's division"),
    ):
        write_subject(copy, "HC_001", image, labels)
        capsys.readouterr()
        assert main([*words, *more, "--quiet"]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and said in lines[0]
