"""KCF: the kernelized correlation filter as a tracker (Henriques, Caseiro, Martins and Batista, TPAMI 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.correlation_filters.correlation_filter import (
    CorrelationFilter,
    respond,
    train_filter,
)
from UltrasoundMotionLib.tracking.trackers.correlation_filters.filter_features import FeatureConfig, window_features
from UltrasoundMotionLib.tracking.trackers.correlation_filters.template_memory import TemplateMemory
from UltrasoundMotionLib.tracking.windows.window_tracker import WindowMatches, WindowTracker
from UltrasoundMotionLib.tracking.windows.windows import (
    cosine_window,
    crop_windows,
    find_peaks,
    gaussian_response,
    out_of_view,
)


@dataclass(frozen=True)
class KcfConfig(FeatureConfig):
    """Settings of KCF; the defaults are those of the paper's Table 2 for grey levels, and a target size of our own.

    Attributes:
        target_px: side of the target in pixels of a frame whose longer side has 256.
        window_ratio: window over target (the paper's padding 1.5 means 2.5).
        features: "grey" or "gradients", see `window_features`.
        cell_px: side of a cell of gradients.
        kernel_sigma: width of the Gaussian kernel (0.2 for grey levels, 0.5 for gradients).
        regularization: lambda.
        response_sigma: width of the wanted response, relative to the target.
        learning_rate: share of each new frame (0.075 for grey levels, 0.02 for gradients).
        sizes: relative sizes tried in each frame; the paper keeps the size, and so do we: a probe's depth does not
            change within a clip.
        size_penalty: factor for the response of a size other than 1, when there are several.
        visible_above: response under which a landmark is marked not visible. The paper has no such state.
        lost_below: likeness (correlation with the query frame's window and the last ones that were believed) under
            which a landmark is lost, hidden or out of view: it waits where it was. -1, as in the paper: never, except
            out of view.
        found_above: likeness from which on a lost landmark is followed again.
        learn_alike: likeness from which on its filter learns, unless the border cuts off a quarter of the target.
        remembered: windows of each landmark that are remembered, the query frame's included.

    Raises:
        InputError: an unknown kind of features.
    """

    target_px: float = 24.0
    window_ratio: float = 2.5
    features: str = "grey"
    cell_px: int = 4
    kernel_sigma: float = 0.2
    regularization: float = 1e-4
    response_sigma: float = 0.1
    learning_rate: float = 0.075
    sizes: tuple[float, ...] = (1.0,)
    size_penalty: float = 0.98
    visible_above: float = 0.2
    lost_below: float = -1.0
    found_above: float = 0.8
    learn_alike: float = -1.0
    remembered: int = 8


class KcfTracker(WindowTracker):
    """Tracks each landmark with a correlation filter of its own."""

    def __init__(self, config: KcfConfig, device: torch.device) -> None:
        super().__init__(device, config.visible_above)
        self.config = config
        self._size = round(config.target_px * config.window_ratio / (2 * config.sample_px)) * 2 * config.sample_px
        samples = self._size // config.sample_px
        self._cosine = cosine_window(samples, device)
        self._wanted = gaussian_response(samples, config.response_sigma * config.target_px / config.sample_px, device)

    def _features(self, image: Tensor, points: Tensor, sizes: Tensor) -> Tensor:
        windows = crop_windows(image, points, sizes * self._scale.unit, self._size)
        return window_features(windows, self.config.features, self.config.sample_px) * self._cosine

    def _train(self, image: Tensor) -> CorrelationFilter:
        features = self._features(image, self._points, self._sizes)
        return train_filter(features, self._wanted, self.config.kernel_sigma, self.config.regularization)

    def _begin(self, image: Tensor) -> None:
        self._filter = self._train(image)
        self._lost = torch.zeros_like(self._held)
        self._memory = TemplateMemory.around(
            image, self._points, self._scale.unit * self.config.target_px, capacity=self.config.remembered
        )

    def _find(self, image: Tensor) -> WindowMatches:
        tried = torch.tensor(self.config.sizes, device=image.device)
        count, several = len(self._points), len(tried)
        sizes = (self._sizes[:, None] * tried).flatten()
        features = self._features(image, self._points.repeat_interleave(several, dim=0), sizes)
        peaks = find_peaks(respond(self._filter.repeated(several), features, self.config.kernel_sigma))
        weight = torch.where(tried == 1, 1.0, self.config.size_penalty)
        best = (peaks.values.reshape(count, several) * weight).argmax(dim=1) + several * torch.arange(
            count, device=image.device
        )
        steps = (sizes[best] * self._scale.unit * self.config.sample_px)[:, None]
        points = self._points + peaks.shifts[best] * steps
        alike = self._memory.likeness(image, points)
        least = torch.where(self._lost, self.config.found_above, self.config.lost_below)
        self._lost = lost = ((alike < least) & ~self._held) | out_of_view(image, points)
        self._alike = torch.where(lost, 0.0, alike)
        return WindowMatches(
            torch.where(lost[:, None], self._points, points),
            torch.where(lost, self._sizes, sizes[best]),
            torch.where(lost, 0.0, peaks.values[best]),
        )

    def _learn(self, image: Tensor, confidence: Tensor, seen: Tensor) -> None:
        cut_off = out_of_view(image, self._points, self._scale.unit * self.config.target_px / 4)
        believed = seen & (self._alike > self.config.learn_alike) & ~cut_off
        self._filter = self._filter.blend(self._train(image), self.config.learning_rate * believed)
        self._memory.add(image, self._points, believed)
