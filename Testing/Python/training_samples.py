"""Subjects and a small objective for the tests of training registration."""

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.data.registration_pairs import (
    LabelledArrays,
    TrainingSubject,
)
from UltrasoundMotionLib.lab.training.objective import Adversary
from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS

SHAPE = (10, 12, 14)


LIVELY = Augmentation(
    rotation_deg=20,
    tilt_deg=5,
    scale=0.1,
    shift=1,
    elastic=0.5,
    elastic_stride=6,
    gain=0.1,
    gamma=0.1,
    bias=0.1,
    noise=0.02,
)


def subjects(count, phases=1, shape=SHAPE):
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        arrays = []
        for _ in range(phases):
            image = gaussian_filter(random.random(shape), 2)
            image = (image - image.min()) / (image.max() - image.min())
            arrays.append(LabelledArrays(image.astype(np.float16), (image > 0.6).astype(np.uint8)))
        made.append(TrainingSubject(f"s{number}", tuple(arrays)))
    return made


class Shift(RegistrationObjective):
    """The smallest network that registers: one convolution whose mean is the displacement; with a discriminator of one
    number.
    """

    name, architecture = "shift", "Shift"
    domain = replace(HIPPOCAMPUS, labels={1: "bright"})

    def __init__(self, adversary=False):
        super().__init__()
        self.network = nn.Conv3d(2, 3, 3, padding=1)
        self.discriminator = nn.Parameter(torch.ones(())) if adversary else None
        self.register_buffer("seen", torch.zeros(()))

    def losses(self, batch, step):
        self.seen += batch.fixed.mean()
        field = self.network(torch.cat([batch.moving, batch.fixed], 1)).float()
        adversarial = 0.0 if self.discriminator is None else self.discriminator * field.mean()
        return {
            "total": field.square().mean() + (batch.fixed - batch.moving).mean() * field.mean() + adversarial,
            "size": field.abs().mean(),
        }

    def adversary(self):
        if self.discriminator is None:
            return None
        return Adversary([self.discriminator], lambda: 3 * self.discriminator, learning_rate=0.01)

    @torch.no_grad()
    def displacement(self, fixed, moving):
        return self.network(torch.cat([moving, fixed], 1))

    def configuration(self):
        return {"network": {}}


def recipe(steps=6, adversary=False, batch=None, **changes):
    torch.manual_seed(1)
    batch = batch or PairSettings(augmentation=PairAugmentation(fixed=LIVELY, moving=LIVELY))
    training = TrainingSettings(steps=steps, log_every=2, save_every=3, validate_every=4, **changes)
    return RegistrationPlan(Shift(adversary), batch, training)
