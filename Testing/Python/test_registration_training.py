"""Training of registration networks: batches, steps, breaks, cancelling and several processes."""

import csv
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from torch import nn

from training_samples import LIVELY, SHAPE, recipe, subjects
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.lab.cli.train import between_steps
from UltrasoundMotionLib.lab.registration_datasets import learned_part
from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.data.registration_augmentation import Change, draw_changes
from UltrasoundMotionLib.lab.training.data.registration_pairs import (
    PairBatches,
    pair_list,
)
from UltrasoundMotionLib.lab.training.log import plot_log
from UltrasoundMotionLib.lab.training.optimization import Optimization
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.progress import no_progress


def train_registration(folder, plan, people, validation_people=(), **options):
    cases = pair_list(validation_people, plan.batch) if validation_people else ()
    batches = PairBatches(people, plan.batch, plan.settings.seed)
    return train(folder, plan.objective, batches, plan.settings, cases=cases, **options)


def weights_of(one):
    return torch.cat([value.flatten() for value in one.objective.state_dict().values()])


def test_parts_of_the_data_are_apart_and_whole():
    names = [f"hippocampus_{number:03d}" for number in range(1, 395)] + [
        f"patient{number:03d}" for number in range(1, 101)
    ]
    parts = [learned_part(names, part) for part in ("train", "validation", "held-out")]
    assert sorted(sum(parts, ())) == sorted(names)
    assert {"hippocampus_305", "patient010", "patient030"} <= set(parts[0]) and {
        "hippocampus_306",
        "patient011",
        "patient091",
    } <= set(parts[1])
    assert {"hippocampus_320", "patient012", "patient020", "patient100"} <= set(parts[2])
    with pytest.raises(InputError, match="part: expected one of"):
        learned_part(names, "test")
    with pytest.raises(InputError, match="s1: neither"):
        learned_part(["s1"], "train")
    with pytest.raises(InputError, match="none of the 1 subjects is in the part 'held-out'"):
        learned_part(["patient001"], "held-out")


def test_a_change_moves_images_as_scipy_does_and_labels_with_them():
    one = subjects(1)[0].phases[0]
    random, generator = np.random.default_rng(3), torch.Generator().manual_seed(3)
    change = Change.draw(Augmentation(rotation_deg=30, tilt_deg=10, stretch=0.1, shift=2), SHAPE, random, generator)
    image, labels = torch.from_numpy(one.image).float()[None, None], torch.from_numpy(one.labels).long()[None]
    moved, moved_labels = change.apply(image, labels)
    matrix = change.matrix[::-1, -2::-1]  # (x, y, z) to (z, y, x)
    centre = (np.array(SHAPE) - 1) / 2
    offset = centre - matrix @ centre + change.matrix[::-1, -1]
    expected = affine_transform(one.image.astype(np.float32), matrix, offset, order=1, mode="nearest")
    assert np.abs(moved[0, 0].numpy() - expected).max() < 1e-4
    nearest = affine_transform(one.labels, matrix, offset, order=0, mode="nearest")
    assert (moved_labels[0].numpy() != nearest).mean() < 2e-3  # ties
    # a spline moves labels with their image
    spline = Change.draw(Augmentation(elastic=1.5, elastic_stride=5), SHAPE, random, generator)
    moved, moved_labels = spline.apply(image, labels)
    assert ((moved[0, 0] > 0.6) == (moved_labels[0] == 1)).float().mean() > 0.93
    assert (moved - image).abs().max() > 0.05


def test_what_is_shared_is_the_same_for_both_images_and_flips_only_then():
    random, generator = np.random.default_rng(5), torch.Generator().manual_seed(5)
    shared = PairAugmentation(shared=replace(LIVELY, noise=0.0, flips=(2,)))
    one = subjects(1)[0].phases[0]
    image, labels = torch.from_numpy(one.image).float()[None, None], torch.from_numpy(one.labels).long()[None]
    mirrored = 0
    for _ in range(8):
        first, second = draw_changes(shared, SHAPE, random, generator)
        assert torch.equal(first.apply(image, labels)[0], second.apply(image, labels)[0])
        mirrored += first.flips == (2,)
    assert 0 < mirrored < 8
    own = draw_changes(PairAugmentation(fixed=LIVELY, moving=LIVELY), SHAPE, random, generator)
    assert not torch.equal(own[0].apply(image, labels)[0], own[1].apply(image, labels)[0])
    only = Change(flips=(0,)).apply(image, labels)
    assert torch.equal(only[0], image.flip(2)) and torch.equal(only[1], labels.flip(1))


def test_batches_follow_from_seed_step_and_process():
    config = PairSettings(size=2, augmentation=PairAugmentation(fixed=LIVELY, moving=LIVELY))
    source = PairBatches(subjects(4), config, seed=7)
    batch, again = source.draw(5), PairBatches(subjects(4), config, seed=7).draw(5)
    for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
        assert torch.equal(getattr(batch, name), getattr(again, name))
    assert (
        batch.fixed.shape == (2, 1, *SHAPE)
        and batch.fixed_labels.shape == (2, *SHAPE)
        and batch.fixed_labels.dtype == torch.long
    )
    for other in (source.draw(6), source.draw(5, rank=1), PairBatches(subjects(4), config, seed=8).draw(5)):
        assert not torch.equal(batch.fixed, other.fixed)


def test_pairings():
    several, hearts = subjects(4), subjects(3, phases=2)

    def drawn(people, **settings):
        source = PairBatches(people, PairSettings(**settings), seed=1)
        return [source.draw(step) for step in range(12)]

    def is_image(tensor, arrays):
        return torch.equal(tensor[0, 0], torch.from_numpy(arrays.image).float())

    for batch in drawn(several, pairing="atlas", atlas="s2"):
        assert is_image(batch.moving, several[2].phases[0]) and not is_image(batch.fixed, several[2].phases[0])
    assert all(
        any(is_image(batch.fixed, one.phases[0]) and is_image(batch.moving, one.phases[1]) for one in hearts)
        for batch in drawn(hearts, pairing="phases")
    )
    swapped = drawn(hearts, pairing="phases", swapped=0.5)
    assert 0 < sum(any(is_image(batch.fixed, one.phases[1]) for one in hearts) for batch in swapped) < 12
    assert all(torch.equal(batch.fixed, batch.moving) for batch in drawn(hearts, pairing="phases", identical=1.0))
    assert not any(torch.equal(batch.fixed, batch.moving) for batch in drawn(several))
    plane = drawn(several, planes=True)[0]
    assert plane.fixed.shape == (1, 1, *SHAPE[1:]) and bool((plane.fixed_labels > 0).any())


@pytest.mark.training
def test_a_run_with_breaks_is_the_run_without(tmp_path):
    whole = recipe(adversary=True)
    measured = train_registration(tmp_path / "whole", whole, subjects(4), subjects(3))
    for sitting in range(3):  # breaks after steps 2 and 5, the second between two rows of the log
        parts = recipe(adversary=True)
        again = train_registration(
            tmp_path / "parts", parts, subjects(4), subjects(3), resume=sitting > 0, stop_after=(2, 3, None)[sitting]
        )
    assert torch.equal(weights_of(whole), weights_of(parts)) and measured == again
    logs = [list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("whole", "parts")]
    for row in logs[0] + logs[1]:
        del row["seconds"]
    assert logs[0] == logs[1] and [row["step"] for row in logs[0]] == ["2", "4", "6"]
    assert not logs[0][0]["validation_dice"] and 0 < float(logs[0][1]["validation_dice"]) <= 1
    assert measured["dice"] == measured["dice_bright"] and measured["folding_percent"] >= 0
    other = recipe(adversary=True, seed=2)
    train_registration(tmp_path / "other", other, subjects(4))
    assert not torch.equal(weights_of(whole), weights_of(other))
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        train_registration(tmp_path / "whole", recipe(steps=7, adversary=True), subjects(4), subjects(3), resume=True)
    plot_log(tmp_path / "log.png", tmp_path / "whole" / "log.csv")
    assert (tmp_path / "log.png").stat().st_size > 5000
    with pytest.raises(InputError, match="not the log of a training"):
        plot_log(tmp_path / "log.png", tmp_path / "whole" / "state.pt")


def test_cancelling_leaves_the_state_after_the_last_whole_step(tmp_path):
    def stop(done, total, message):
        if done == 4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        train_registration(tmp_path / "a", recipe(), subjects(4), progress=stop)
    assert torch.load(tmp_path / "a" / "state.pt")["step"] == 4
    resumed, whole = recipe(), recipe()
    train_registration(tmp_path / "a", resumed, subjects(4), resume=True)
    train_registration(tmp_path / "b", whole, subjects(4))
    assert torch.equal(weights_of(resumed), weights_of(whole))
    with between_steps(no_progress) as progress:
        progress(1, 2, "")
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Cancelled):
            progress(2, 2, "")


def test_the_discriminator_moves_by_its_own_loss_alone():
    one = recipe(adversary=True)
    optimization = Optimization(one.objective, one.settings)
    source = PairBatches(subjects(4), one.batch, 1)
    for step in range(3):
        losses = optimization.step(source.draw(step), step)
    assert float(one.objective.discriminator.detach()) == pytest.approx(
        1 - 3 * 0.01, abs=1e-5
    )  # Adam on a constant gradient
    assert losses["adversary"] == pytest.approx(3 * (1 - 2 * 0.01), abs=1e-4)


def test_a_loss_that_is_no_number_ends_the_run_and_changes_nothing():
    one = recipe()
    optimization = Optimization(one.objective, one.settings)
    before = [value.detach().clone() for value in one.objective.state_dict().values()]
    broken = PairBatches(subjects(4), PairSettings(), 1).draw(0)
    broken.fixed[0, 0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match=r"step 1: the loss is not a finite number \(total nan"):
        optimization.step(broken, 0)
    assert all(torch.equal(value, old) for value, old in zip(one.objective.state_dict().values(), before, strict=True))


WORKER = """
import sys
sys.path.insert(0, {folder!r})
import torch
torch.set_num_threads(1)
from test_registration_training import train_registration
from training_samples import recipe, subjects
from UltrasoundMotionLib.lab.training.processes import training_processes
with training_processes("cpu") as processes:
    one = recipe(steps=3, mixed_precision=False)
    train_registration({out!r} + f"/run{{processes.rank}}", one, subjects(4), processes=processes)
    torch.save(one.objective.state_dict(), {out!r} + f"/{{processes.rank}}.pt")
"""


@pytest.mark.training
def test_two_processes_average_their_gradients(tmp_path):
    script, out = tmp_path / "worker.py", str(tmp_path)
    script.write_text(WORKER.format(folder=str(Path(__file__).parent), out=out))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    # the same steps by hand: the gradient of the mean of both processes' losses
    one = recipe(steps=3, mixed_precision=False)
    parameters, settings = list(one.objective.parameters()), one.settings
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=3, pct_start=settings.warm_up
    )
    source = PairBatches(subjects(4), one.batch, 1)
    for step in range(3):
        optimizer.zero_grad()
        (sum(one.objective.losses(source.draw(step, rank), step)["total"] for rank in range(2)) / 2).backward()
        nn.utils.clip_grad_norm_(parameters, settings.gradient_norm)
        optimizer.step()
        schedule.step()
    for name in ("network.weight", "network.bias"):
        assert torch.equal(found[0][name], found[1][name])
        assert torch.allclose(found[0][name], one.objective.state_dict()[name], atol=1e-6)
    assert torch.equal(found[0]["seen"], found[1]["seen"])  # buffers are those of the first
    assert (tmp_path / "run0" / "state.pt").exists() and not list((tmp_path / "run1").iterdir())
