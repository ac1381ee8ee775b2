"""Multi-scale test-time registration: the network's shapes, the paper's recipe on known deformations, training over
pairs, what is refused.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from known_deformations import bump_field, texture
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, resample_displacement, warp
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration import InstanceConfig, available_methods, register
from UltrasoundMotionLib.registration.methods.multiscale.optimisation import optimise_scales
from UltrasoundMotionLib.registration.methods.multiscale.settings import (
    EarlyStoppingSettings,
    MultiscaleSettings,
    SinglePassSettings,
    SsmsrSettings,
    SsrSettings,
    published_ablation,
)
from UltrasoundMotionLib.registration.methods.multiscale.stage import ScaleProblem, ScaleResult, optimise
from UltrasoundMotionLib.registration.methods.multiscale.weights import write_weights
from UltrasoundMotionLib.registration.methods.voxelmorph.unet import ResidualUNet
from UltrasoundMotionLib.registration.working_pair import WorkingPair

torch.set_num_threads(1)

SMALL = {"encoder": (8, 8), "decoder": (8, 8, 8, 8), "learning_rate": 5e-3, "smoothness": 1.0}


def pair_with_truth(shape, amplitude, width, seed=3):
    """Volumes of fixed = moving through a Gaussian bump, and the bump."""
    dimension = len(shape)
    moving = Volume(texture(shape, seed), (1.0,) * dimension, (0.0,) * dimension, np.eye(dimension))
    truth = bump_field(ImageGrid.of(moving), amplitude, width)
    return truth.warp(moving, mode="cubic"), moving, truth


def working_pair(shape, amplitude, width, seed=3):
    fixed, moving, truth = pair_with_truth(shape, amplitude, width, seed)
    tensors = [
        torch.from_numpy(np.ascontiguousarray(one.array, dtype=np.float32))[None, None] for one in (fixed, moving)
    ]
    return WorkingPair(*tensors, None, None, ImageGrid.of(moving)), truth.to_voxels()


def error(found, truth):
    return float(np.linalg.norm(found.displacement_mm - truth.displacement_mm, axis=-1).mean())


@pytest.mark.parametrize("size", [(16, 24), (17, 9), (8, 12, 16), (9, 13, 10)])
def test_the_network_takes_any_size_and_begins_at_rest(size):
    for full_size in (True, False):
        network = ResidualUNet(len(size), full_size=full_size)
        field = network(torch.rand(1, 2, *size))
        assert field.shape == (1, len(size), *(size if full_size else [-(-one // 2) for one in size]))
        assert 0 < float(field.detach().abs().max()) < 1e-2


def test_the_published_network_has_the_parameters_of_voxelmorph_2():
    # 3D VoxelMorph-2 by hand: (inputs * 27 + 1) * outputs of each of its twelve convolutions
    layers = [
        (2, 16),
        (16, 32),
        (32, 32),
        (32, 32),
        (32, 32),
        (64, 32),
        (64, 32),
        (48, 32),
        (32, 32),
        (34, 16),
        (16, 16),
        (16, 3),
    ]
    assert sum(parameter.numel() for parameter in ResidualUNet(3).parameters()) == sum(
        (27 * i + 1) * o for i, o in layers
    )


def test_the_loss_is_the_papers():
    """Against LNCC and squared gradient in float64, at half the scale, after a displacement found before."""
    pair, truth = working_pair((20, 24), (2.0, -1.0), 6.0)
    config = SsmsrSettings(**{**SMALL, "smoothness": 3.0})
    network = ResidualUNet(2, (8, 8), (8, 8, 8, 8))
    torch.nn.init.normal_(network.field.weight, std=0.05)
    problem = ScaleProblem(pair, config, 2.0, ScaleResult(truth))
    with torch.no_grad():
        loss = float(problem.loss(network))
        reconstruction = warp(pair.moving, truth)
        halves = [image.reshape(1, 1, 10, 2, 12, 2).mean(dim=(3, 5)) for image in (reconstruction, pair.fixed)]
        residual = network(torch.cat(halves, dim=1))
    moved, fixed = (image[0, 0].double().numpy() for image in (warp(halves[0], residual), halves[1]))
    values = []
    for row, column in np.ndindex(fixed.shape):  # a window of 6 covers the offsets -3 .. 2, less what is outside
        window = (slice(max(0, row - 3), row + 3), slice(max(0, column - 3), column + 3))
        one, other = fixed[window] - fixed[window].mean(), moved[window] - moved[window].mean()
        values.append((one * other).mean() ** 2 / (((one**2).mean() + 1e-5) * ((other**2).mean() + 1e-5)))
    field = residual[0].double().numpy()
    roughness = sum((np.diff(field, axis=axis) ** 2).sum() for axis in (1, 2)) / (
        field[0].size * 4
    )  # the mean over components and axes
    assert loss == pytest.approx(1 - np.mean(values) + 3.0 * roughness, abs=2e-5)


@pytest.mark.parametrize(("method", "share"), [("ssmsr", 0.4), ("ssr", 0.6), ("multiscale", 0.4)])
@pytest.mark.slow
def test_every_preset_finds_a_known_deformation_in_2d(method, share):
    fixed, moving, truth = pair_with_truth((40, 44), (3.0, -2.5), 8.0)
    defaults = {one.name: one for one in available_methods()}[method].settings_from()
    settings = {"steps": 60, **SMALL} if method != "multiscale" else {"steps": 10}
    result = register(fixed, moving, method=method, config=replace(defaults, **settings))
    assert error(result.displacement, truth) < share * error(DisplacementField.zero(truth.grid), truth)
    assert result.measures.jacobian.share_nonpositive == 0
    assert result.method == method


@pytest.mark.slow
def test_networks_alone_and_from_instance_sum_to_one_velocity():
    fixed, moving, truth = pair_with_truth((32, 36), (3.0, -2.5), 8.0)
    still = error(DisplacementField.zero(truth.grid), truth)
    alone = MultiscaleSettings(start=None, scales=(2.0, 1.0), steps=(60, 30), learning_rate=5e-3, tolerance=None)
    done = []
    fields = [
        register(
            fixed,
            moving,
            method="multiscale",
            config=config,
            progress=lambda now, total, message: done.append((now, total)),
        )
        for config in (alone, MultiscaleSettings(steps=4))
    ]
    assert all(error(one.displacement, truth) < 0.4 * still for one in fields)
    start = sum(MultiscaleSettings().start.iterations)
    assert done == [(now, 90) for now in range(1, 91)] + [(now, start + 4) for now in range(1, start + 5)]


@pytest.mark.slow
def test_velocity_gives_a_diffeomorphism_in_3d():
    fixed, moving, truth = pair_with_truth((16, 18, 18), (2.0, -2.0, 1.5), 5.0)
    config = SsmsrSettings(**SMALL, output="velocity", steps=50)
    result = register(fixed, moving, method="ssmsr", config=config)
    assert error(result.displacement, truth) < 0.5 * error(DisplacementField.zero(truth.grid), truth)
    assert result.measures.jacobian.minimum > 0


def test_each_scale_starts_from_the_weights_and_the_reconstruction_before():
    pair, _truth = working_pair((24, 24), (2.0, 2.0), 6.0)
    seen = []
    config = SsmsrSettings(**SMALL, scales=(2.0, 1.0), steps=(20, 1), tolerance=None)
    result = optimise_scales([pair], config, lambda done, total, message, field: seen.append((done, total, field())))
    assert [one[:2] for one in seen] == [(done, 21) for done in range(1, 22)]
    coarse, fine = result.weights
    # one step of Adam moves a weight by its rate at most
    assert all(float((coarse[name] - fine[name]).abs().max()) < 1.01 * config.learning_rate for name in coarse)
    # what is found at scale 1 is the composition, Eq. 5: residual first
    found, network = ScaleResult(seen[19][2]), ResidualUNet(2, (8, 8), (8, 8, 8, 8))
    network.load_state_dict(fine)
    with torch.no_grad():
        residual = resample_displacement(ScaleProblem(pair, config, 1.0, found).residual(network), (24, 24))
    np.testing.assert_allclose(result.displacements[0], residual + warp(found.displacement, residual), atol=1e-6)


def test_optimisation_stops_when_it_no_longer_pays_and_never_before():
    pair, _ = working_pair((24, 24), (2.0, 2.0), 6.0)
    for tolerance, expected in (
        (10.0, 20),
        (None, 45),
    ):  # nothing pays 10: two windows are seen; without a rule all steps are made
        config = SsmsrSettings(**SMALL, patience=10, tolerance=tolerance)
        problem = ScaleProblem(pair, config, 1.0, ScaleResult(torch.zeros(1, 2, 24, 24)))
        assert (
            optimise(ResidualUNet(2, (8, 8), (8, 8, 8, 8)), [problem], 45, config, lambda done, loss: None) == expected
        )


def test_the_named_variants_make_all_steps_of_the_paper():
    assert SsmsrSettings().tolerance is SsrSettings().tolerance is None
    assert EarlyStoppingSettings().tolerance == 1e-3
    defaults = {one.name: one.settings_from() for one in available_methods() if one.name.startswith("ss")}
    assert {name: (one.tolerance, one.steps) for name, one in defaults.items()} == {
        "ssmsr": (None, 3500),
        "ssr": (None, 3500),
        "ssmsr-early-stopping": (1e-3, 3500),
    }


def test_weights_of_one_scale_begin_the_coarsest_only(tmp_path):
    pair, _ = working_pair((24, 24), (2.0, 2.0), 6.0)
    network = ResidualUNet(2, (8, 8), (8, 8, 8, 8))
    torch.nn.init.normal_(network.field.weight, std=0.05)
    write_weights(tmp_path / "one.safetensors", [network.state_dict()])
    scales = []
    settings = SsmsrSettings(**SMALL, scales=(4.0, 2.0, 1.0), steps=(0, 2, 1), weights=tmp_path / "one.safetensors")
    found = optimise_scales(
        [pair], settings, lambda *_: None, on_scale=lambda scale, fields: scales.append((scale, fields[0]))
    )
    first, second, third = found.weights
    assert all(torch.equal(first[name], value) for name, value in network.state_dict().items())
    for before, after, steps in (
        (first, second, 2),
        (second, third, 1),
    ):  # a step moves a weight by Adam's rate at most
        furthest = max(float((before[name] - after[name]).abs().max()) for name in before)
        assert 0 < furthest < 1.01 * steps * settings.learning_rate
    assert [scale for scale, _ in scales] == [4.0, 2.0, 1.0]
    assert torch.equal(scales[-1][1], found.displacements[0])
    write_weights(tmp_path / "two.safetensors", [first, second])
    with pytest.raises(InputError, match="number of scales than 3"):
        optimise_scales([pair], replace(settings, weights=tmp_path / "two.safetensors"), lambda *_: None)


def test_the_same_seed_gives_the_same_field_and_leaves_the_callers_random_numbers_alone():
    fixed, moving, _ = pair_with_truth((24, 24), (2.0, 2.0), 6.0)
    torch.manual_seed(5)
    expected = torch.rand(1)
    fields = []
    for _repeat in range(2):
        torch.manual_seed(5)
        fields.append(
            register(fixed, moving, method="ssr", config=SsrSettings(**SMALL, steps=5)).displacement.displacement_mm
        )
        assert torch.equal(torch.rand(1), expected)
    np.testing.assert_array_equal(*fields)


def test_a_network_trained_over_pairs_registers_another_in_one_pass(tmp_path):
    path = tmp_path / "weights.safetensors"
    settings = {name: value for name, value in SMALL.items() if name != "learning_rate"}
    pairs = [working_pair((32, 32), (2.5, -2.0), 8.0, seed)[0] for seed in range(3)]
    trained = optimise_scales(pairs, SsrSettings(**SMALL, steps=150, tolerance=None), lambda *_: None)
    write_weights(path, trained.weights)
    fixed, moving, truth = pair_with_truth((32, 32), (2.5, -2.0), 8.0, seed=11)
    one_pass = register(fixed, moving, method="ssr", config=SinglePassSettings(**settings, weights=path))
    still = error(DisplacementField.zero(truth.grid), truth)
    assert error(one_pass.displacement, truth) < 0.8 * still
    test_time = register(fixed, moving, method="ssr", config=SsrSettings(**SMALL, weights=path, steps=60))
    assert error(test_time.displacement, truth) < error(one_pass.displacement, truth)


def test_weights_of_another_network_are_refused(tmp_path):
    fixed, moving, _ = pair_with_truth((16, 16), (1.0, 1.0), 6.0)
    path = tmp_path / "weights.safetensors"
    write_weights(path, [ResidualUNet(2, (8, 8), (8, 8, 8, 8)).state_dict()])
    with pytest.raises(InputError, match="of another network"):
        register(fixed, moving, method="ssr", config=SinglePassSettings(weights=path))
    path.write_text("not weights")
    for name, says in ((path, "no safetensors file"), (tmp_path / "none", "no such file of weights")):
        with pytest.raises(InputError, match=says):
            register(fixed, moving, method="ssr", config=SinglePassSettings(weights=name))


def test_the_ablation_has_the_papers_rows(tmp_path):
    plane, volume = published_ablation(2), published_ablation(3, weights=tmp_path / "w", steps=50)
    assert list(plane) == ["SSR (w/o multi-scale)", "SSMSR (1/8)", "SSMSR (1/4)", "SSMSR (1/2)", "SSMSR (1)"]
    assert list(volume) == ["VoxelMorph", "SSR (w/o multi-scale)", "SSMSR (1/2)", "SSMSR (1)"]
    assert [one.scales_in(3) for one in volume.values()] == [(1.0,), (1.0,), (2.0,), (2.0, 1.0)]
    assert [sum(one.steps_in(3)) for one in volume.values()] == [0, 50, 50, 100]
    full = SsmsrSettings()
    assert (full.learning_rate, full.smoothness, full.steps_in(2), full.output) == (
        1e-3,
        10.0,
        (3500,) * 4,
        "displacement",
    )


@pytest.mark.parametrize(
    ("configuration", "wrong", "says"),
    [
        (SsmsrSettings, {"output": "spline"}, "output is one of"),
        (SsmsrSettings, {"symmetric": True}, "need output 'velocity'"),
        (SsmsrSettings, {"scales": (2.0, 1.0), "steps": (5,)}, "one for each of the scales"),
        (SsmsrSettings, {"scales": (0.5,)}, "scales must be 1 or more"),
        (SsmsrSettings, {"learning_rate": 0.0}, "must be above 0"),
        (SinglePassSettings, {}, "a trained network is needed"),
        (MultiscaleSettings, {"smoothness": -1.0}, "0 or more"),
        (SsmsrSettings, {"start": InstanceConfig()}, "start gives a velocity"),
    ],
)
def test_impossible_settings_are_refused(configuration, wrong, says):
    with pytest.raises(InputError, match=says) as caught:
        configuration(**wrong)
    assert "\n" not in str(caught.value)
