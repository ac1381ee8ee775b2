"""The request of strain: every option that a user has, with its default, unit and help, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.settings import check_options, option, with_changes
from UltrasoundMotionLib.strain.segment_model import SegmentModel, segment_model
from UltrasoundMotionLib.strain.strain_config import ORIENTATIONS, StrainConfig
from UltrasoundMotionLib.strain.ventricle_segments import SEGMENT_COUNTS

_LAYER_COUNTS = (1, 3)
_NOT_SETTINGS = {"cycle", "orientation", "compensate_drift", "accept_segments", "reject_segments"}
"""Fields of `StrainConfig` that options of the request set."""


@dataclass(frozen=True)
class StrainRequest:
    """The options of strain, the same from Python, the command line and the panel.

    Attributes:
        view: A4C, A2C, APLAX, SAX-base, SAX-mid or SAX-apex.
        layers: number of contours that were tracked: one, or inner, middle and outer layer.
        segments: segments of the left ventricle where several views are combined: 16, 17 or 18.
        end_diastole, end_systole: frames of the events, from 0; None finds them.
        cycle: index of the measured cycle, from 0; None takes the first complete one.
        compensate_drift: subtract drift from the curves, linearly over the cycle; otherwise it is only reported.
        reject, accept: names of segments to leave out, or to keep despite their quality.
        orientation: "auto" takes the view as usually displayed (apical: septum or inferior wall on the left);
            "mirrored": the display is mirrored left to right; "as given" keeps the points' order.
        settings: changes to the other settings of `StrainConfig` by name, such as {"maximum_gap_s": 0.2}.

    Raises:
        InputError: an unknown view, a setting that `StrainConfig` refuses.
        OptionError: a value that an option cannot take.
    """

    view: str = option(
        "A4C",
        metavar="V",
        always_shown=True,
        help="A4C (default), A2C, APLAX, SAX-base, SAX-mid, SAX-apex",
    )
    layers: int = option(1, choices=_LAYER_COUNTS, always_shown=True, help="contours in the CSV (default 1)")
    segments: int = option(18, choices=SEGMENT_COUNTS, help="segments of the ventricle with --other-view (default 18)")
    end_diastole: tuple[int, ...] | None = option(
        None, minimum=0, metavar="K", help="frames of end-diastole, from 0 (default: found)"
    )
    end_systole: tuple[int, ...] | None = option(
        None, minimum=0, metavar="K", help="frames of end-systole, from 0 (default: found)"
    )
    cycle: int | None = option(
        None, minimum=0, metavar="N", help="cycle to measure, from 0 (default: the first complete one)"
    )
    compensate_drift: bool = option(
        False, help="subtract drift from the curves, linearly over the cycle (default: it is only reported)"
    )
    reject: tuple[str, ...] = option((), metavar="SEGMENT", help="segments to leave out, as 'apical lateral'")
    accept: tuple[str, ...] = option((), metavar="SEGMENT", help="segments to keep despite their quality")
    orientation: str = option(
        "auto",
        choices=ORIENTATIONS,
        help="auto (default): the view as usually displayed, walls named from the left of the image; mirrored: the"
        " display is mirrored left to right; as given: the points' own order",
    )
    settings: Mapping[str, Any] | None = option(
        None, on_command_line=False, help="changes to the other settings of StrainConfig by name"
    )

    def __post_init__(self) -> None:
        check_options(self)
        names = self.model.names
        for one in ("reject", "accept"):
            unknown = [name for name in getattr(self, one) if name not in names]
            if unknown:
                raise OptionError(one, f"{self.model.view} has no segment {unknown[0]!r}; there are {', '.join(names)}")
        if own := sorted(_NOT_SETTINGS & set(self.settings or {})):
            raise OptionError("settings", f"{own[0]} is set by an option of its own")
        _ = self.config  # checks the settings

    @property
    def model(self) -> SegmentModel:
        """The segments of the view."""
        return segment_model(self.view)

    @property
    def config(self) -> StrainConfig:
        """The settings of the computation."""
        config = StrainConfig(
            cycle=self.cycle,
            orientation=self.orientation,
            compensate_drift=self.compensate_drift,
            accept_segments=self.accept,
            reject_segments=self.reject,
        )
        return with_changes(config, self.settings)
