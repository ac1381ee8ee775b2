"""Two-step semantically guided registration: a coarse field from features of both images, then a second one on features
that the first warped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from UltrasoundMotionLib.fields import compose, integrate_velocity, resample_displacement, warp
from UltrasoundMotionLib.registration.learned.model_domain import normalise
from UltrasoundMotionLib.registration.methods.semantic.correlation_flow import CorrelationFlow
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import FeatureUNet
from UltrasoundMotionLib.registration.methods.semantic.registration_network import RegistrationNetwork, TwoStepOutput
from UltrasoundMotionLib.registration.methods.semantic.two_step_config import SQUARINGS, TwoStepConfig


class TwoStepNetwork(nn.Module):
    """The network of Ha et al., Semantically Guided Large Deformation Estimation with Deep Networks, Sensors 2020.

    It is that of their Fig. 1, in 2D or 3D.
    """

    def __init__(self, config: TwoStepConfig) -> None:
        super().__init__()
        self.config = config
        n, inputs = config.unet.dimension, 2 * config.unet.classes
        self.unet = FeatureUNet(config.unet)
        count = 1 if config.shared else len(config.scales)
        self.steps = nn.ModuleList(
            RegistrationNetwork(n, inputs, config.channels, config.hidden, scale) for scale in config.scales[:count]
        )

    def forward(self, fixed: Tensor, moving: Tensor) -> TwoStepOutput:
        """Registers images (B, 1, *spatial), normalised (see `model_domain.normalise`).

        Raises:
            InputError: images of another dimension, of shapes that differ, or too small.
        """
        fixed_scores, moving_scores = self.unet(torch.cat([fixed, moving])).chunk(2)
        return TwoStepOutput(self.register(fixed_scores, moving_scores), fixed_scores, moving_scores)

    def register(self, fixed_scores: Tensor, moving_scores: Tensor) -> Tensor:
        """Predicts the displacement (B, n, *half) of two maps of class scores (B, classes, *half)."""
        fixed, moving = self._features(fixed_scores), self._features(moving_scores)
        fields: list[Tensor] = []
        warped = moving
        for place, scale in enumerate(self.config.scales):
            network = self.steps[0 if self.config.shared else place]
            fields.append(network(fixed, warped, scale))
            if place < len(self.config.scales) - 1:
                warped = warp(moving, self._combined(fields))
        return self._combined(fields)

    def _combined(self, fields: list[Tensor]) -> Tensor:
        """Combines the fields of all steps so far to one displacement."""
        if self.config.combination == "addition":
            return self._displacement(torch.stack(fields).sum(0))
        total = self._displacement(fields[0])
        for field in fields[1:]:
            total = compose(outer=total, inner=self._displacement(field))
        return total

    def _displacement(self, field: Tensor) -> Tensor:
        return integrate_velocity(field, SQUARINGS) if self.config.velocity else field

    def _features(self, scores: Tensor) -> Tensor:
        return scores.float().softmax(1) if self.config.features == "probabilities" else scores.float()


def two_step_network(config: TwoStepConfig) -> TwoStepNetwork | CorrelationFlow:
    """Builds the network of a configuration."""
    network = TwoStepNetwork(config) if config.correlation is None else CorrelationFlow(config)
    if config.statistics == "pair":
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
    return network


def predict_two_step(network: TwoStepNetwork | CorrelationFlow, fixed: Tensor, moving: Tensor) -> Tensor:
    """Predicts a displacement by a trained network, on the grid of its images.

    Args:
        network: in eval mode.
        fixed, moving: (B, 1, *spatial) on the grid of the network's domain, of any intensities.

    Returns:
        (B, n, *spatial) float32 in voxels of that grid, channels (x, y[, z]).

    Raises:
        InputError: images of another dimension, of shapes that differ, or too small.
    """
    with torch.no_grad():
        found = network(normalise(fixed), normalise(moving)).displacement
    return resample_displacement(found, tuple(fixed.shape[2:]))
