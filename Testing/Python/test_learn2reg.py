"""Learn2Reg's hippocampus task: its pairs, its measures, and its folder."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images import Volume, write_volume
from UltrasoundMotionLib.lab.benchmarks.registration.benchmark import registration_result
from UltrasoundMotionLib.lab.benchmarks.registration.learn2reg_measures import (
    challenge_overlaps,
    robust_hausdorff,
    surface_areas,
)
from UltrasoundMotionLib.lab.benchmarks.registration.pair_rows import MethodResult, PairResult
from UltrasoundMotionLib.lab.benchmarks.registration.protocols import protocol_pairs
from UltrasoundMotionLib.lab.benchmarks.registration.runner import run_method
from UltrasoundMotionLib.lab.learn2reg import learn2reg_numbers, learn2reg_pairs

SIZE = 64


def drawn(number):
    """An image and its labels: a ball of two parts, at a place of its own."""
    place = np.indices((SIZE,) * 3) - (30 + number % 5)
    distance = np.linalg.norm(place, axis=0)
    labels = np.where(distance < 12, np.where(place[0] < 0, 1, 2), 0).astype(np.uint8)
    return (20 * labels + number % 7 + distance).astype(np.float32), labels


@pytest.fixture
def challenge(tmp_path):
    """A folder with the first pair of the validation list; the moving image has a header of its own."""
    folder = tmp_path / "HippocampusMR"
    for number, origin in ((201, (0, 0, 0)), (260, (5, -7, 90))):
        for kind, array in zip(("images", "labels"), drawn(number), strict=True):
            (folder / f"{kind}Tr").mkdir(parents=True, exist_ok=True)
            volume = Volume(array, (1, 1, 1), origin, np.eye(3))
            write_volume(folder / f"{kind}Tr" / f"HippocampusMR_{number:04d}_0000.nii.gz", volume)
    return folder


def test_the_pairs_are_those_of_the_challenge():
    validation, test = learn2reg_numbers(), learn2reg_numbers("test")
    assert (validation[0], validation[-1], len(validation)) == ((201, 260), (260, 201), 60)
    assert (test[0], test[-1], len(test)) == ((261, 390), (390, 261), 130)
    assert {sum(pair) for pair in validation} == {461} and {sum(pair) for pair in test} == {651}


def test_areas_are_those_of_marching_cubes():
    areas = surface_areas()
    corners = list(itertools.product((0, 1), repeat=3))

    def area_of(*inside):
        return areas[sum(1 << corners.index(corner) for corner in inside)]

    triangle = np.sqrt(3) / 8  # edges of sqrt(1/2)
    assert areas[0] == areas[255] == 0
    assert area_of((0, 0, 0)) == pytest.approx(triangle)
    assert area_of((0, 0, 0), (0, 0, 1)) == pytest.approx(np.sqrt(0.5))
    assert area_of((0, 0, 0), (0, 1, 1)) == pytest.approx(2 * triangle)  # across a face: each on its own
    assert area_of((0, 0, 0), (1, 1, 1)) == pytest.approx(2 * triangle)
    assert area_of((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)) == pytest.approx(1)
    assert areas == pytest.approx(areas[::-1])  # inside and outside change places
    assert areas.sum() == pytest.approx(241.34313970553737)  # of the table in the challenge's own evaluation


def test_the_distance_is_a_percentile_by_area():
    cube = np.zeros((30, 30, 30), bool)
    cube[5:15, 5:15, 5:15] = True
    assert robust_hausdorff(cube, cube) == 0
    assert robust_hausdorff(cube, np.roll(cube, 3, axis=1)) == 3
    assert robust_hausdorff(cube, 0 * cube) == robust_hausdorff(0 * cube, cube) == float("inf")
    needle = cube.copy()
    needle[15:25, 10, 10] = True  # 4 * 10 * 0.707 of about 580: over 4 %, so 95 % of the area is near, 96 % not all
    assert robust_hausdorff(cube, needle) == 0
    assert robust_hausdorff(cube, needle, 99) > 5
    edge = np.zeros((4, 4, 4), bool)
    edge[:2] = True  # at the image's border there is surface as well
    assert robust_hausdorff(edge, np.ones((4, 4, 4), bool)) == pytest.approx(2)


def test_overlaps_are_of_labels_sampled_as_the_challenge_does():
    (_, fixed), (_, moving) = drawn(201), drawn(260)
    random = np.random.default_rng(0)
    displacement = 3 * np.stack([np.full(fixed.shape, random.normal()) for _ in range(3)])
    there = np.indices(fixed.shape) + displacement[::-1]
    warped = map_coordinates(moving, there, order=0)
    overlaps, distances = challenge_overlaps(fixed, moving, displacement, (1, 2, 3))
    for label in (1, 2):
        one, other = fixed == label, warped == label
        assert overlaps[label] == pytest.approx(2 * (one & other).sum() / (one.sum() + other.sum()))
        assert distances[label] == robust_hausdorff(one, other)
    assert np.isnan(overlaps[3]) and np.isnan(distances[3])
    only_fixed = challenge_overlaps(fixed, np.where(moving == 1, 0, moving), 0 * displacement, (1, 2))[0]
    assert np.isnan(only_fixed[1]) and only_fixed[2] > 0


def test_a_pair_is_read_by_voxels_and_measured(challenge):
    (pair,) = protocol_pairs("hippocampus-learn2reg", challenge.parent, 1)
    assert pair.name == "0201 < 0260"
    for one, number in ((pair.fixed, 201), (pair.moving, 260)):
        image, labels = drawn(number)
        assert np.array_equal(one.image.array, image) and np.array_equal(one.labels.array, labels)
    assert ImageGrid.of(pair.moving.image).matches(ImageGrid.of(pair.fixed.image))

    shift = 260 % 5 - 201 % 5

    def call(fixed, moving):
        grid = ImageGrid.of(fixed)
        return DisplacementField(np.full((*grid.shape, 3), float(shift)) @ grid.direction.T, grid)

    before = run_method(lambda fixed, moving: DisplacementField.zero(ImageGrid.of(fixed)), pair, challenge=True)
    row = run_method(call, pair, challenge=True)
    assert row.dice == {1: pytest.approx(1), 2: pytest.approx(1)} and row.mean_hd95 == 0
    assert before.mean_dice < 1 and row.sdlogj == pytest.approx(0, abs=1e-6)
    assert run_method(call, pair).sdlogj is None


def test_the_table_has_the_challenge_s_columns():
    rows = [
        PairResult(str(n), {1: dice, 2: float("nan")}, {1: 2.0, 2: float("nan")}, 0.3, 0, 0.3, 0, 1, 1, 1, 0.05)
        for n, dice in enumerate((0.5, 0.6, 0.7, 0.8))
    ]
    found = registration_result(
        [MethodResult("greedy", tuple(rows))], "hippocampus-learn2reg", threads=1, part="untuned", atlas=None
    )
    cells = {column.title: column.cell(found.rows[0]) for column in found.columns}
    assert (cells["Dice"], cells["DSC30"], cells["HD95 voxels"], cells["SDlogJ"]) == (
        "0.650",
        "0.590",
        "2.000",
        "0.050",
    )


def test_bad_input_is_one_sentence(challenge, tmp_path):
    labels = challenge / "labelsTr" / "HippocampusMR_0260_0000.nii.gz"
    image = challenge / "imagesTr" / "HippocampusMR_0260_0000.nii.gz"

    def refused(**given):
        with pytest.raises(InputError) as error:
            learn2reg_pairs(**{"folder": challenge, "count": 1, **given})
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "expected the folder HippocampusMR of Learn2Reg" in refused(folder=tmp_path / "none")
    assert "imagesTs" in refused(part="test")
    assert "HippocampusMR_0202_0000.nii.gz: no such file" in refused(count=2)
    write_volume(labels, Volume(np.full((SIZE,) * 3, 3, np.uint8), (1, 1, 1), (0, 0, 0), np.eye(3)))
    assert f"{labels}: label 3 is none of the task's, 1 and 2" in refused()
    write_volume(image, Volume(np.ones((SIZE,) * 3, np.float32), (1, 1, 1), (0, 0, 0), np.eye(3)))
    assert f"{image}: has no contrast" in refused()
    write_volume(image, Volume(np.ones((SIZE, SIZE, 32), np.float32), (1, 1, 1), (0, 0, 0), np.eye(3)))
    assert f"{image}: (32, 64, 64) voxels, the task's images have (64, 64, 64)" in refused()
    with pytest.raises(InputError, match="part validation: the pairs of hippocampus-learn2reg are fixed; leave it out"):
        protocol_pairs("hippocampus-learn2reg", challenge, part="validation")
