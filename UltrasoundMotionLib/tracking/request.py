"""The request of tracking: every option that a user has, with its default, unit and help, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.settings import check_options, option
from UltrasoundMotionLib.tracking.query import DIRECTIONS

AUTO = "auto"


def _frame_or_auto(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdecimal() else text


@dataclass(frozen=True)
class TrackRequest:
    """The options of tracking, the same from Python, the command line, a job and the panel.

    Attributes:
        model: name of the tracker, see `ultrasound-motion models list`.
        weights: trained weights in place of the tracker's own: a name, a card or a safetensors file beside its card.
        query_frame: frame on which the points lie, from 0; "auto" takes diastasis if a cycle is found, else the frame
            most like all others.
        direction: "both", or only "forward" or "backward" from the query frame; the other frames stay NaN.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        watch_shadows: report and predict points in shadow, hold frozen or black video, see `WatchedTracker`.
        offline: follow forwards and backwards, fuse and smooth, see `track_offline`.
        ahead_frames: predict each point so many frames ahead, see `AheadTracker`.
        hide_graphics: fill what the scanner drew (text, rulers, traces) from the pixels around it before tracking.
        settings: changes to the tracker's settings by name, such as {"confidence": {"visible_above": 0.4}}.

    Raises:
        OptionError: a value that an option cannot take, or options that exclude each other.
    """

    model: str = option(
        "lucas-kanade",
        metavar="M",
        always_shown=True,
        help="tracker; see `ultrasound-motion models list` (default lucas-kanade)",
    )
    weights: str | Path | None = option(
        None,
        metavar="FILE",
        help="trained weights in place of the tracker's own (.safetensors beside its card, or a name)",
    )
    query_frame: int | str = option(
        0,
        metavar="K|auto",
        parse=_frame_or_auto,
        always_shown=True,
        help="frame on which the points were placed, from 0 (default 0); auto takes diastasis if a cycle is found, else"
        " the frame most like all",
    )
    direction: str = option(
        "both", choices=tuple(DIRECTIONS), help="follow the points from the query frame one way only (default both)"
    )
    device: str = option("auto", metavar="D", help="auto (default), cpu, cuda or mps")
    watch_shadows: bool = option(False, help="report and predict points in shadow, hold frozen or black video")
    offline: bool = option(False, help="follow forwards and backwards, fuse and smooth; takes twice as long")
    ahead_frames: int = option(
        0,
        minimum=0,
        unit="frames",
        metavar="F",
        help="state where each point will be F frames later, to make up for latency",
    )
    hide_graphics: bool = option(
        True,
        negative_flag="--keep-graphics",
        help="track on the frames as they are, with the scanner's text, rulers and traces",
    )
    settings: Mapping[str, Any] | None = option(
        None, on_command_line=False, help="changes to the tracker's settings by name"
    )

    def __post_init__(self) -> None:
        check_options(self)
        if isinstance(self.query_frame, str) and self.query_frame != AUTO:
            raise OptionError("query_frame", f"expected a frame number or auto, got {self.query_frame!r}")
        if self.offline and self.ahead_frames:
            raise OptionError("offline", "knows the frames to come; leave ahead_frames out")
