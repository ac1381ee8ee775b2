"""Labels of the user that guide a registration: what they replace, and when they are refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import write_volume
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.registration.guide_labels import GuideLabels, read_guides
from UltrasoundMotionLib.registration.request import RegisterRequest

HIPPOCAMPUS = {1: "head", 2: "body"}


def head_and_body(shift=0.0, shape=(34, 50, 36)):
    """A hippocampus-like image, two touching ellipsoids of nearly one brightness, and its labels."""
    z, y, x = np.meshgrid(*[np.arange(size) for size in shape], indexing="ij")
    labels = np.zeros(shape, np.uint8)
    for value, middle in ((1, 32), (2, 18)):
        labels[((z - 17) / 6) ** 2 + ((y - middle - shift) / 8) ** 2 + ((x - 18) / 6) ** 2 < 1] = value
    image = np.random.default_rng(0).normal(0, 1, shape) + np.array([20.0, 60.0, 58.0])[labels]
    grid = {"spacing_mm": (1.0, 1.0, 1.0), "origin_mm": (0.0, 0.0, 0.0), "direction": np.diag([-1.0, -1.0, 1.0])}
    return Volume(image.astype("f4"), **grid), Volume(labels, **grid)


def test_guides_are_shares_of_each_voxel_and_take_the_place_of_their_images_maps():
    image, labels = head_and_body()
    grid = ImageGrid.of(image)
    half = ImageGrid(tuple(size // 2 for size in grid.shape), (2.0, 2.0, 2.0), (-0.5, -0.5, 0.5), grid.direction)
    pair = SimpleNamespace(grid=half, fixed=torch.zeros(1), notes=[])
    images = SimpleNamespace(fixed_labels=labels, moving_labels=None)
    guides = read_guides(images, pair, None, RegisterRequest(guide_labels="fixed"))
    assert set(guides.fixed) == {1, 2} and guides.moving is None and "guided the field" in pair.notes[0]
    expected = torch.nn.functional.avg_pool3d(torch.from_numpy(labels.array == 1).float()[None, None], 2)
    torch.testing.assert_close(guides.fixed[1], expected)
    maps = torch.rand(1, 2, *half.shape), torch.rand(1, 2, *half.shape)
    fixed, moving = guides.replace_maps(maps, HIPPOCAMPUS)
    assert moving is maps[1]
    torch.testing.assert_close(fixed[:, :1], guides.fixed[1])
    with pytest.raises(InputError, match=r"fixed_labels hold \[7\], the maps are of 1 head, 2 body"):
        GuideLabels(fixed={7: expected}).replace_maps(maps, HIPPOCAMPUS)
    assert read_guides(images, pair, None, RegisterRequest()) is None


@pytest.mark.slow
def test_labels_lead_where_images_alone_do_not():
    """Head and body are nearly of one brightness: the labels alone know that their border moved."""
    fixed, fixed_labels = head_and_body()
    moving, _ = head_and_body()
    _, moving_labels = head_and_body(shift=5.0)
    found = {}
    for guide in ("none", "both"):
        found[guide] = register(
            fixed,
            moving,
            fixed_labels=fixed_labels,
            moving_labels=moving_labels,
            method="anatomy-guided",
            weights="anatomy-hippocampus",
            guide_labels=guide,
            device="cpu",
            threads=1,
        )
    dice = {guide: np.mean([one.dice for one in result.measures.labels.values()]) for guide, result in found.items()}
    assert dice["both"] > dice["none"] + 0.1
    assert any("the labels of the fixed and the moving image guided" in note for note in found["both"].notes)
    assert not any("guided the field" in note for note in found["none"].notes)


def test_guides_that_cannot_guide_are_refused(tmp_path, capsys):
    fixed, labels = head_and_body()
    given = {"fixed": fixed, "moving": head_and_body(1.0)[0], "device": "cpu"}
    with pytest.raises(InputError, match="instance is not guided by class maps; use method='anatomy-guided'"):
        register(**given, fixed_labels=labels, guide_labels="fixed")
    with pytest.raises(InputError, match="guide_labels both needs moving_labels"):
        register(**given, fixed_labels=labels, method="anatomy-guided", guide_labels="both")
    with pytest.raises(InputError, match="guided in its refinement only"):
        register(**given, fixed_labels=labels, method="anatomy-guided", guide_labels="fixed", refine=False)
    with pytest.raises(OptionError, match="guide_labels"):
        register(**given, guide_labels="all")
    for name, volume in (("fixed", fixed), ("moving", given["moving"]), ("labels", labels)):
        write_volume(tmp_path / f"{name}.nrrd", volume)
    words = ["register", str(tmp_path / "fixed.nrrd"), str(tmp_path / "moving.nrrd"), "--quiet", "--fixed-labels"]
    words += [str(tmp_path / "labels.nrrd"), "--out-displacement", str(tmp_path / "u.nrrd")]
    assert main(words) == 2 and "--fixed-labels needs --moving-labels" in capsys.readouterr().err
    assert main([*words, "--guide-labels", "fixed"]) == 2  # the default method
    assert "instance is not guided" in capsys.readouterr().err
