"""Settings of `tapir` and `bootstapir`."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.settings import check_options, option


@dataclass(frozen=True)
class TapirSettings:
    """Settings of a run."""

    refinement_scale: int = option(
        1,
        choices=(1, 2, 4),
        help="resolution of the refinement as a multiple of the network's 256 pixels; the tracks of all resolutions up"
        " to it are averaged, and time and memory grow with its square",
    )

    def __post_init__(self) -> None:
        check_options(self)
