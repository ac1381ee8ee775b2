"""The domain of a trained network: how images are brought to its grid and fields back, and what is refused or warned
of.
"""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.registration.learned.model_domain import (
    CARDIAC_CINE,
    CARDIAC_CINE_PUBLISHED,
    HIPPOCAMPUS,
    ModelDomain,
    check_domain,
    domain_grid,
    field_to_grid,
    normalise,
    sample_on,
)
from UltrasoundMotionLib.registration.working_pair import WorkingPair

RAS = np.diag([-1.0, -1.0, 1.0])
TILT = 0.2
TILTED = np.array([[np.cos(TILT), 0, -np.sin(TILT)], [0, 1, 0], [np.sin(TILT), 0, np.cos(TILT)]])


def hippocampus_grid(direction=RAS, shape=(40, 52, 36), spacing_mm=(1.0, 1.0, 1.0)):
    return ImageGrid(shape, spacing_mm, (12.0, -7.0, 30.0), direction)


def position_image(grid, component):
    """Holds the LPS position of every voxel along one component, plus 100 so that it is above the 0 of what lies
    outside.
    """
    return torch.from_numpy(grid.points_lps_mm()[..., component].astype(np.float32))[None, None] + 100


@pytest.mark.parametrize("domain", [HIPPOCAMPUS, CARDIAC_CINE, CARDIAC_CINE_PUBLISHED])
def test_a_domain_survives_its_card(domain):
    assert ModelDomain.from_card(json.loads(json.dumps(asdict(domain)))) == domain


def test_a_card_without_a_domain_is_refused():
    with pytest.raises(InputError, match="domain"):
        ModelDomain.from_card({"name": "x", "labels": {"one": "head"}})


@pytest.mark.parametrize(
    "direction",
    [RAS, np.eye(3), RAS[:, [1, 2, 0]], TILTED @ RAS[:, [2, 0, 1]]],
    ids=["RAS", "LPS", "permuted", "tilted and permuted"],
)
def test_axes_are_put_into_the_domains_orientation(direction):
    grid = hippocampus_grid(direction)
    there = domain_grid(grid, HIPPOCAMPUS)
    assert there.shape == (48, 64, 48)
    assert there.spacing_mm == (1.0, 1.0, 1.0)
    assert (np.diag(there.direction) * np.diag(RAS) > 0.95).all()
    centres = [one.points_lps_mm().reshape(-1, 3).mean(0) for one in (grid, there)]
    np.testing.assert_allclose(*centres, atol=1e-6)


def test_what_is_sampled_lies_where_it_was_in_the_patient():
    grid = hippocampus_grid(TILTED @ RAS[:, [2, 0, 1]], shape=(60, 60, 70), spacing_mm=(0.9, 1.1, 1.0))
    there = domain_grid(grid, HIPPOCAMPUS)
    index = grid.to_index(there.points_lps_mm())
    inside = ((index >= 0) & (index <= np.array(grid.shape[::-1]) - 1)).all(-1)
    assert inside.mean() > 0.8
    for component in range(3):
        found = sample_on(position_image(grid, component), grid, there)[0, 0].numpy()
        np.testing.assert_allclose(found[inside], 100 + there.points_lps_mm()[..., component][inside], atol=1e-3)


def test_thick_slices_keep_their_planes():
    grid = ImageGrid((9, 200, 180), (1.4, 1.4, 10.0), (-100.0, -120.0, 5.0), np.eye(3))
    there = domain_grid(grid, CARDIAC_CINE, centre_mm=np.array([10.0, 20.0, 300.0]))
    assert there.shape == (9, 160, 160)
    np.testing.assert_allclose(there.points_lps_mm()[:, 0, 0, 2], grid.points_lps_mm()[:, 0, 0, 2])
    np.testing.assert_allclose(there.points_lps_mm().reshape(-1, 3).mean(0)[:2], [10.0, 20.0])


def test_thin_slices_become_such_as_the_networks_have_seen():
    grid = ImageGrid((64, 128, 128), (1.56, 1.56, 1.56), (0.0, 0.0, 0.0), np.eye(3))
    there = domain_grid(grid, CARDIAC_CINE)
    assert there.shape == (12, 160, 160)
    assert there.spacing_mm == (1.5, 1.5, 8.0)
    assert domain_grid(grid, CARDIAC_CINE_PUBLISHED).shape == (64, 128, 128)


def test_slices_along_another_axis_become_the_domains_last():
    grid = ImageGrid((200, 9, 180), (1.4, 10.0, 1.4), (0.0, 0.0, 0.0), np.eye(3))
    there = domain_grid(grid, CARDIAC_CINE)
    assert there.shape == (9, 160, 160)
    np.testing.assert_array_equal(there.direction, np.eye(3)[:, [0, 2, 1]])


def test_a_field_comes_back_as_the_same_map_in_the_patient():
    grid = hippocampus_grid(TILTED @ RAS[:, [2, 0, 1]], spacing_mm=(0.8, 1.2, 1.0))
    there = domain_grid(grid, HIPPOCAMPUS)
    points = (there.points_lps_mm() - there.points_lps_mm().reshape(-1, 3).mean(0)) / 30
    millimetres = np.stack([2 * points[..., 1], -1.5 * points[..., 0] + 1, 0.5 * points[..., 2] - 2], -1)
    field = DisplacementField(millimetres, there)
    back = DisplacementField.from_voxels(field_to_grid(field.to_voxels(), there, grid), grid)
    index = there.to_index(grid.points_lps_mm())
    inside = ((index >= 0) & (index <= np.array(there.shape[::-1]) - 1)).all(-1)
    assert inside.mean() > 0.7
    np.testing.assert_allclose(back.displacement_mm[inside], field.resample(grid).displacement_mm[inside], atol=1e-3)


def test_a_field_fades_out_beyond_the_domains_box_without_folding():
    grid = ImageGrid((9, 260, 260), (1.5, 1.5, 10.0), (0.0, 0.0, 0.0), np.eye(3))
    there = domain_grid(grid, CARDIAC_CINE)
    constant = torch.zeros(1, 3, *there.shape)
    constant[:, 0] = 6.0
    back = field_to_grid(constant, there, grid)
    assert float(back[0, 0, 4, 130, 130]) == pytest.approx(6.0, abs=1e-4)
    assert float(back[0, 0, 4, 130, 0].abs()) < 1e-4
    assert float(torch.diff(back[:, 0], dim=-1).min()) > -1.0


def test_padding_does_not_change_what_the_network_sees():
    image = torch.rand(1, 1, 10, 12, 14, generator=torch.Generator().manual_seed(0)) + 0.5
    padded = torch.zeros(1, 1, 16, 20, 20)
    padded[:, :, 3:13, 4:16, 2:16] = image
    inner = image.clone()
    inner[0, 0, 0, 0, 0] = 0  # the minimum does not count in either
    expected = (image - image.mean()) / image.std(correction=0)
    torch.testing.assert_close(normalise(padded)[:, :, 3:13, 4:16, 2:16], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (hippocampus_grid(spacing_mm=(3.0, 3.0, 3.0)), "too coarse"),
        (hippocampus_grid(shape=(160, 200, 180)), "field of view"),
        (ImageGrid((64, 64), (1.0, 1.0), (0.0, 0.0), np.eye(2)), "2D"),
    ],
)
def test_what_cannot_be_brought_there_is_refused_with_the_way_out(grid, message):
    with pytest.raises(InputError, match=message) as refused:
        check_domain(grid, HIPPOCAMPUS)
    assert "method='instance'" in str(refused.value)


def test_intensities_unlike_the_training_datas_are_warned_of():
    grid = hippocampus_grid()
    usual = torch.randn(1, 1, *grid.shape, generator=torch.Generator().manual_seed(1))
    dark = usual.exp() ** 2
    domain = replace(HIPPOCAMPUS, familiar=((0.5, -0.1, 0.1), (0.98, 1.8, 2.3)))
    notes = check_domain(WorkingPair(usual, dark, None, None, grid), domain)
    assert len(notes) == 1
    assert notes[0].startswith("moving does not look like T1 MRI")
    assert "instance" in notes[0]
