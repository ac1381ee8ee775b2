"""LCT: long-term correlation tracking (Ma, Yang, Zhang and Yang, CVPR 2015).

Three memories: a filter of the target with its context, learnt in every frame, which moves the landmark; a filter of
the target alone, learnt only where it is believed, which judges size and confidence; and a detector that searches the
image when that confidence is lost. The paper's detector is a random fern whose votes k nearest neighbours judge. Ours
is the nearest neighbours alone: at a few windows a landmark, their correlation with every place of the image costs less
than the ferns would, and needs no negative samples.
"""

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
class LctConfig(FeatureConfig):
    """Settings of LCT; the defaults are the paper's (Sec. 4.1) or, where it gives none, those of the authors' code.

    Attributes:
        target_px: side of the target in pixels of a frame whose longer side has 256; a point has no size, so this is
            ours.
        padding: context around the target, relative to it.
        features: "gradients" or "grey", see `window_features`; the paper has gradients and histograms of grey levels.
        cell_px: side of a cell of gradients.
        kernel_sigma: width of the Gaussian kernel.
        regularization: lambda.
        response_sigma: width of the wanted response, relative to the target.
        context_rate: share of each new frame in the context filter.
        target_rate: the same of the target filter, in frames where it is believed.
        size_count: relative sizes tried; 1 keeps the size.
        size_step: factor from one to the next.
        detect_below: response of the target filter under which the detector runs (T_r).
        learn_above: response above which target filter and detector learn.
        adopt_gain: what the detector finds is adopted if the target filter answers so many times as much there (the
            code's rule), ...
        adopt_above: ... and more than this.
        detect_alike: likeness (correlation with the query frame's window and the last ones that were believed) under
            which the detector runs too: a filter of speckle answers anywhere with more than T_r. -1, as in the paper,
            for this and the next ones: the likeness does not count.
        adopt_alike: what the detector finds is adopted, too, if its likeness is more than this, ...
        adopt_alike_gain: ... and by so much more than where the landmark was.
        lost_below: likeness under which a landmark that the detector does not find is lost: it waits where it was, ...
        found_above: ... and is followed again where the likeness is more than this.
        learn_alike: likeness above which anything is learnt, if the border does not cut off a quarter of the target.
        reach_px: how far around the landmark the detector searches, in pixels of a frame whose longer side has 256; the
            paper's searches everywhere.
        template_count: windows the detector remembers for each landmark, the query frame's included.
        candidates: places it proposes.
        detector_px: samples along a side of those windows.
        visible_above: response under which a landmark is marked not visible.

    Raises:
        InputError: an unknown kind of features.
    """

    target_px: float = 24.0
    padding: float = 1.8
    features: str = "gradients"
    cell_px: int = 4
    kernel_sigma: float = 1.0
    regularization: float = 1e-4
    response_sigma: float = 0.1
    context_rate: float = 0.01
    target_rate: float = 0.01
    size_count: int = 21
    size_step: float = 1.08
    detect_below: float = 0.15
    learn_above: float = 0.38
    adopt_gain: float = 1.5
    adopt_above: float = 0.38
    detect_alike: float = -1.0
    adopt_alike: float = 0.8
    adopt_alike_gain: float = 0.15
    lost_below: float = -1.0
    found_above: float = 0.8
    learn_alike: float = -1.0
    reach_px: float = 256.0
    template_count: int = 8
    candidates: int = 4
    detector_px: int = 13
    visible_above: float = 0.15


class LctTracker(WindowTracker):
    """Tracks each landmark with two correlation filters and a few remembered windows."""

    def __init__(self, config: LctConfig, device: torch.device) -> None:
        super().__init__(device, config.visible_above)
        self.config = config
        cell = 2 * config.sample_px
        self._context_size = round(config.target_px * (1 + config.padding) / cell) * cell
        self._target_size = round(config.target_px / cell) * cell + cell
        sigma = config.response_sigma * config.target_px / config.sample_px
        self._context_wanted = gaussian_response(self._context_size // config.sample_px, sigma, device)
        self._target_wanted = gaussian_response(self._target_size // config.sample_px, sigma, device)
        self._cosine = cosine_window(self._context_size // config.sample_px, device)
        powers = torch.arange(config.size_count, device=device) - config.size_count // 2
        self._tried_sizes = config.size_step ** powers.to(torch.float32)

    def _features(self, image: Tensor, points: Tensor, sizes: Tensor, window: int) -> Tensor:
        windows = crop_windows(image, points, sizes * self._scale.unit, window)
        return window_features(windows, self.config.features, self.config.sample_px)

    def _train_context(self, image: Tensor) -> CorrelationFilter:
        features = self._features(image, self._points, self._sizes, self._context_size) * self._cosine
        return train_filter(features, self._context_wanted, self.config.kernel_sigma, self.config.regularization)

    def _train_target(self, image: Tensor) -> CorrelationFilter:
        features = self._features(image, self._points, self._sizes, self._target_size)
        return train_filter(features, self._target_wanted, self.config.kernel_sigma, self.config.regularization)

    def _begin(self, image: Tensor) -> None:
        self._context, self._target = self._train_context(image), self._train_target(image)
        self._lost = torch.zeros_like(self._held)
        self._memory = TemplateMemory.around(
            image,
            self._points,
            self._scale.unit * self.config.target_px,
            size=self.config.detector_px,
            capacity=self.config.template_count,
        )

    def _find(self, image: Tensor) -> WindowMatches:
        config = self.config
        features = self._features(image, self._points, self._sizes, self._context_size) * self._cosine
        peaks = find_peaks(respond(self._context, features, config.kernel_sigma))
        points = self._points + peaks.shifts * (self._sizes * self._scale.unit * config.sample_px)[:, None]
        confidence = self._judge(image, points, self._sizes)
        self._alike = self._memory.likeness(image, points)
        doubted = (confidence < config.detect_below) | (self._alike < config.detect_alike)
        for landmark in torch.nonzero(doubted & ~self._held)[:, 0].tolist():
            unlike = bool(self._alike[landmark] < config.lost_below)
            centre = self._points[landmark] if unlike else points[landmark]
            places = self._memory.search(image, landmark, centre, config.reach_px * self._scale.unit, config.candidates)
            if len(places) == 0:
                continue
            alike = self._memory.likeness(image, places, landmark)
            answers = self._judge(image, places, self._sizes[landmark].expand(len(places)), landmark)
            best, most_alike = int(answers.argmax()), int(alike.argmax())
            answer_needed = max(config.adopt_gain * float(confidence[landmark]), config.adopt_above)
            if alike[most_alike] > max(config.adopt_alike, float(self._alike[landmark]) + config.adopt_alike_gain):
                best = most_alike
            elif confidence[landmark] >= config.detect_below or answers[best] <= answer_needed:
                continue
            points[landmark], confidence[landmark] = places[best], answers[best]
            self._alike[landmark] = alike[best]
        least = torch.where(self._lost, config.found_above, config.lost_below)
        self._lost = lost = ((self._alike < least) & ~self._held) | out_of_view(image, points)
        self._alike = torch.where(lost, 0.0, self._alike)
        points = torch.where(lost[:, None], self._points, points)
        if config.size_count == 1:
            return WindowMatches(points, self._sizes, torch.where(lost, 0.0, confidence))
        found = self._resize(image, points)
        return WindowMatches(points, found.sizes, torch.where(lost, 0.0, found.confidence))

    def _resize(self, image: Tensor, points: Tensor) -> WindowMatches:
        """Chooses the size with the highest response of the target filter."""
        count, several = len(points), len(self._tried_sizes)
        sizes = (self._sizes[:, None] * self._tried_sizes).flatten()
        features = self._features(image, points.repeat_interleave(several, dim=0), sizes, self._target_size)
        answers = (
            respond(self._target.repeated(several), features, self.config.kernel_sigma)
            .amax(dim=(1, 2))
            .reshape(count, several)
        )
        values, best = answers.max(dim=1)
        return WindowMatches(points, self._sizes * self._tried_sizes[best], values)

    def _judge(self, image: Tensor, points: Tensor, sizes: Tensor, landmark: int | None = None) -> Tensor:
        """Returns the target filter's highest response (N,) around each landmark's point, or (K,) around K points of
        one landmark.
        """
        learnt = self._target
        if landmark is not None:
            row = slice(landmark, landmark + 1)
            learnt = CorrelationFilter(learnt.template[row], learnt.weights[row]).repeated(len(points))
        return respond(learnt, self._features(image, points, sizes, self._target_size), self.config.kernel_sigma).amax(
            dim=(1, 2)
        )

    def _learn(self, image: Tensor, confidence: Tensor, seen: Tensor) -> None:
        config = self.config
        cut_off = out_of_view(image, self._points, self._scale.unit * config.target_px / 4)
        alike = seen & (self._alike > config.learn_alike) & ~cut_off
        self._context = self._context.blend(self._train_context(image), config.context_rate * alike)
        believed = alike & (confidence > config.learn_above)
        self._target = self._target.blend(self._train_target(image), config.target_rate * believed)
        self._memory.add(image, self._points, believed)
