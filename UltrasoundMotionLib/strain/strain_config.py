"""Settings of a strain computation."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError

ORIENTATIONS = ("auto", "mirrored", "as given")


@dataclass(frozen=True)
class StrainConfig:
    """Settings of a strain computation; by default raw curves of the first complete cycle, drift not compensated.

    Attributes:
        cycle: index of the measured cycle, from 0; None takes the first complete one, else the first.
        orientation: "auto" takes the view as usually displayed: it reverses an apical contour that starts at the base
            on the right of the image and a clockwise ring; "mirrored" takes the display to be mirrored left to right
            and does the opposite; "as given" keeps the points' order.
        compensate_drift: subtract a line through 0 at end-diastole and the drift at the end of the cycle (Voigt et al.
            2015). Off by default: it also changes peaks. Drift is reported either way.
        maximum_gap_s: gap limit: a point that is missing or not visible for longer than this is lost.
        maximum_gap_frames: gap limit in frames where frame times are unknown.
        maximum_lost_share: a segment is rejected when more than this fraction of its points is lost.
        minimum_confidence: a segment whose mean confidence lies below it is rejected.
        maximum_roughness_percent: a segment whose `SegmentQuality.roughness_percent` is larger is rejected.
        maximum_drift_percent: a segment whose strain at the end of the cycle is farther from 0 is rejected, since the
            tissue was not followed.
        maximum_forward_backward_px: a segment whose median forward-backward error is larger is rejected, where that
            error is given.
        maximum_rejected_segments: with more rejected segments than this there is no global strain (Lang et al. 2015:
            more than two in one view).
        accept_segments, reject_segments: names of segments that the reader accepts or rejects despite the measurements.
        smoothing_wall_share: width (standard deviation) of the smoothing along the wall, as a fraction of its length;
            for the smoothed curves only.
        smoothing_time_s: width of the smoothing in time; one frame where frame times are unknown.
        bootstrap_replicates: replicates for the uncertainty of global strain; 0 switches the uncertainty off.
        common_error_percent, common_error_share: error common to all points, in percentage points and as a fraction of
            global strain; they add in quadrature (`global_uncertainty` gives the source of the defaults).
        seed: seed of the bootstrap.

    Raises:
        InputError: a value out of range.
    """

    cycle: int | None = None
    orientation: str = "auto"
    compensate_drift: bool = False
    maximum_gap_s: float = 0.1
    maximum_gap_frames: int = 3
    maximum_lost_share: float = 0.5
    minimum_confidence: float = 0.5
    maximum_roughness_percent: float = 4.0
    maximum_drift_percent: float = 15.0
    maximum_forward_backward_px: float = 5.0
    maximum_rejected_segments: int = 2
    accept_segments: tuple[str, ...] = ()
    reject_segments: tuple[str, ...] = ()
    smoothing_wall_share: float = 1 / 24
    smoothing_time_s: float = 0.02
    bootstrap_replicates: int = 400
    common_error_percent: float = 1.0
    common_error_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.orientation not in ORIENTATIONS:
            raise InputError(f"orientation must be one of {', '.join(ORIENTATIONS)}, got {self.orientation}")
        if self.cycle is not None and self.cycle < 0:
            raise InputError(f"cycle must be 0 or more, got {self.cycle}")
        for name, low, high in (
            ("maximum_gap_s", 0, 10),
            ("maximum_gap_frames", 0, 1000),
            ("maximum_lost_share", 0, 1),
            ("minimum_confidence", 0, 1),
            ("maximum_roughness_percent", 0, 1000),
            ("maximum_drift_percent", 0, 1000),
            ("maximum_forward_backward_px", 0, 1000),
            ("common_error_percent", 0, 100),
            ("common_error_share", 0, 1),
            ("maximum_rejected_segments", 0, 100),
            ("smoothing_wall_share", 0, 0.5),
            ("smoothing_time_s", 0, 1),
            ("bootstrap_replicates", 0, 100_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")
        both = set(self.accept_segments) & set(self.reject_segments)
        if both:
            raise InputError(f"segments {sorted(both)} cannot be both accepted and rejected")
