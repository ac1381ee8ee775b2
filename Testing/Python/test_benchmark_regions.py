"""`benchmark registration --region`: every method is given the same part of the images; peers of it that need weights,
and the page that lists their settings.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import available_peers, find_peer, unigradicon
from UltrasoundMotionLib.lab.benchmarks.registration import runner
from UltrasoundMotionLib.lab.benchmarks.registration.regions import LABEL_MARGIN_MM, REGIONS, box_for, on_box
from UltrasoundMotionLib.lab.benchmarks.registration.runner import run_pairs
from UltrasoundMotionLib.lab.registration_datasets import LabelledImage, RegistrationPair

SHAPE, HEART = (6, 120, 110), (slice(1, 5), slice(50, 70), slice(40, 60))


def heart(radius, seed=0):
    """A bright disc that moves in a body that stands still."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    body = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), (0, 3, 3))
    disc = (np.hypot(y - 60, x - 50) < radius).astype(float)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[HEART] = 1
    turn = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    geometry = (2.0, 2.0, 8.0), (10.0, -20.0, 5.0), turn
    return LabelledImage(
        Volume(np.clip(8 * body + 5 * disc, -1, 4).astype(np.float32), *geometry), Volume(labels, *geometry)
    )


@pytest.fixture
def pair():
    return RegistrationPair("patient", heart(12), heart(10.5))


def test_the_crop_around_the_labels_has_its_margin(pair):
    margin = round(LABEL_MARGIN_MM / 2)
    assert box_for(pair, "labels") == (
        slice(0, 6),
        slice(50 - margin, 70 + margin),
        slice(40 - margin, 60 + margin),
    )
    assert box_for(pair, "own") is None and box_for(pair, "whole") is None
    pair.fixed.labels.array[:] = 0
    with pytest.raises(InputError, match="patient: the fixed image has no labels"):
        box_for(pair, "labels")
    with pytest.raises(InputError, match="own, whole, changing, labels, got 'heart'"):
        box_for(pair, "heart")


def test_the_changing_region_is_found_without_labels(pair):
    pair.fixed.labels.array[:] = 0
    box = box_for(pair, "changing")
    assert all(one.start <= inside.start and inside.stop <= one.stop for one, inside in zip(box, HEART, strict=True))
    assert np.prod([one.stop - one.start for one in box]) < 0.7 * np.prod(SHAPE)
    other = RegistrationPair("others", heart(12), heart(12, seed=1))
    assert box_for(other, "changing") is None  # no two moments of one scan


@pytest.mark.parametrize("region", ["labels", "changing"])
def test_every_method_is_given_the_same_voxels_and_its_field_is_put_back(pair, region):
    given = []

    def call(fixed, moving):
        given.append((fixed, moving))
        grid = ImageGrid.of(fixed)
        return DisplacementField(np.broadcast_to([3.0, -2.0, 1.0], (*grid.shape, 3)).copy(), grid)

    box = box_for(pair, region)
    field = on_box(call, box)(pair.fixed.image, pair.moving.image)
    ((fixed, moving),) = given
    np.testing.assert_array_equal(fixed.array, pair.fixed.image.array[box])
    np.testing.assert_array_equal(moving.array, pair.moving.image.array[box])
    for whole, part in ((pair.fixed.image, fixed), (pair.moving.image, moving)):
        corner = np.array([one.start for one in box][::-1])
        place = whole.index_to_lps_mm @ [*corner, 1.0]
        np.testing.assert_allclose(part.origin_mm, place[:3])
    assert field.grid.matches(ImageGrid.of(pair.fixed.image))
    np.testing.assert_allclose(field.displacement_mm[2, 60, 50], [3.0, -2.0, 1.0])
    outside = np.ones(SHAPE, dtype=bool)
    outside[box] = False
    assert not field.displacement_mm[outside].any()


@pytest.mark.parametrize("name", ["ours:instance", "demons"])
@pytest.mark.parametrize(("region", "searched"), [("own", "auto"), ("whole", "whole"), ("labels", "whole")])
def test_only_with_their_own_region_do_ours_cut_further(monkeypatch, pair, name, region, searched):
    from UltrasoundMotionLib import registration

    asked = []

    def register(fixed, moving, **options):
        asked.append((fixed.array.shape, options["search_region"]))
        return SimpleNamespace(displacement=DisplacementField.zero(ImageGrid.of(fixed)))

    monkeypatch.setattr(registration, "register", register)
    monkeypatch.setattr(
        runner, "pair_result", lambda *_, **__: SimpleNamespace(mean_dice=1.0, nonpositive=0.0, seconds=0)
    )
    run_pairs(name, [pair], None, region=region)
    box = box_for(pair, region)
    shape = SHAPE if box is None else tuple(one.stop - one.start for one in box)
    assert asked == [(shape, searched)] * 2  # once so that loading is not measured


def test_rows_of_another_region_are_measured_anew(tmp_path, monkeypatch):
    """A row without a region is of the default one: files from before it are read on."""
    from UltrasoundMotionLib.lab.benchmarks.registration import benchmark

    asked = []

    def run_in_child(module, arguments, environment, on_line):
        asked.append(arguments)
        return {"rows": []}

    monkeypatch.setattr(benchmark, "run_in_child", run_in_child)
    for region in REGIONS:
        found = benchmark.benchmark_registration(tmp_path, "acdc", methods=["unregistered"], region=region)
        assert found.as_dict()["region"] == region
    assert ["--region" in arguments for arguments in asked] == [False, True, True, True]


def test_unigradicon_says_how_to_get_its_weights(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("unigradicon", "icon_registration", "icon_registration.itk_wrapper", "itk"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    image = Volume(np.zeros((4, 5, 6), np.float32), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    with pytest.raises(MissingPackageError, match=r"github\.com/uncbiag/uniGradICON/releases.*as network_weights"):
        find_peer("unigradicon", "registration").call(image, image)
    monkeypatch.setitem(sys.modules, "unigradicon", None)
    with pytest.raises(MissingPackageError, match="pip install unigradicon"):
        find_peer("unigradicon", "registration").call(image, image)


def test_unigradicons_field_points_into_the_moving_image(monkeypatch, tmp_path):
    """By the package's own conversion, with a network that finds a known shift."""
    pytest.importorskip("itk")
    package = pytest.importorskip("unigradicon")
    import torch

    class Shift(torch.nn.Module):
        """phi(x) = x + a shift along (z, y, x) in units of the network's image."""

        def __init__(self):
            super().__init__()
            axes = [torch.linspace(0, 1, 20)] * 3
            self.register_buffer("identity_map", torch.stack(torch.meshgrid(*axes, indexing="ij"))[None])
            self.phi_AB = lambda places: places + torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1, 1) / 19
            self.phi_BA = self.phi_AB

        def forward(self, first, second):
            return torch.zeros(5)

    monkeypatch.chdir(tmp_path)
    unigradicon.WEIGHTS.parent.mkdir(parents=True)
    unigradicon.WEIGHTS.touch()
    monkeypatch.setattr(package, "get_unigradicon", Shift)
    turn = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    noise = np.random.default_rng(0).random((20, 40, 60)).astype(np.float32)
    image = Volume(noise, (1.0, 1.5, 2.0), (5.0, -3.0, 2.0), turn)
    found = find_peer("unigradicon", "registration").call(image, image)
    # voxels of the network are 1 x 2 x 3 of the image's along (z, y, x)
    wanted = turn @ (np.array([3 * 3.0, 2 * -2.0, 1.0]) * image.spacing_mm)
    np.testing.assert_allclose(found.displacement_mm[10, 20, 30], wanted, atol=1e-3)


def test_the_page_lists_the_settings_of_every_peer():
    page = (Path(__file__).parents[2] / "Docs" / "results" / "registration.md").read_text(encoding="utf-8")
    rows = page[page.index("## The peers' settings") :].split("\n## ", 2)[0]
    for one in available_peers("registration"):
        assert f"\n| `{one.name}`" in rows
    for region in REGIONS:
        assert f"`{region}`" in rows
