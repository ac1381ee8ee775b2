"""The request of live tracking: every option that a user has, with its default, unit and help, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.live.connection import parse_address
from UltrasoundMotionLib.settings import check_options, option
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.request import TrackRequest

_WALL_TRACKER = "lucas-kanade-wall"


@dataclass(frozen=True)
class LiveRequest:
    """The options of live tracking, the same from Python, the command line and the panel.

    Attributes:
        source: address of the OpenIGTLink server that sends the images, `igtl://HOST:PORT`.
        image: name of the image, where the source sends several; None takes the first that comes.
        replay: a clip that is sent as a simulated scanner, from this computer; `source` is then its own address.
        replay_rate_hz: frames per second of the replay; None: the clip's.
        points: landmarks as CSV or Slicer markups, on the first image that comes.
        contour: points along the heart's wall as CSV or markups, in order, for live strain.
        wall: the points that the session is given are such a contour.
        view: the view of the contour, as in `StrainRequest`.
        serve: `PORT` or `HOST:PORT` on which other programs get positions, and images of a replay; None: no server.
        send_back: send positions to the source too, on the connection that the images come by.
        ahead: also send positions predicted ahead by the measured latency, as a message of its own.
        record: file for all received frames (.seq.nhdr).
        out: table of the tracked positions (.csv).
        seconds: end after so many seconds; None: when stopped.
        model, weights, device, settings: as in `TrackRequest`; None: the default, for a contour a tracker of walls.

    Raises:
        InputError: an address that is none, an unknown tracker or view.
        OptionError: a value that an option cannot take, or options that exclude each other.
    """

    source: str | None = option(
        None, metavar="igtl://HOST:PORT", help="server that sends the images (default igtl://localhost:18944)"
    )
    image: str | None = option(None, metavar="NAME", help="name of the image, where the source sends several")
    replay: Path | None = option(
        None, metavar="CLIP", help="send this clip at its own rate, again and again, as a simulated scanner"
    )
    replay_rate_hz: float | None = option(
        None, above=0, flag="--replay-rate", metavar="FPS", help="frames per second of the replay (default: the clip's)"
    )
    points: Path | None = option(
        None, metavar="P", help="landmarks on the first image: CSV with label,x,y in pixels, or Slicer markups"
    )
    contour: Path | None = option(
        None, metavar="C", help="points along the heart's wall, in order, in place of landmarks: strain of every beat"
    )
    wall: bool = option(False, on_command_line=False, help="the points given are a contour")
    view: str = option(
        "A4C", metavar="V", help="of the contour: A4C (default), A2C, APLAX, SAX-base, SAX-mid, SAX-apex"
    )
    serve: str | None = option(
        None, metavar="[HOST:]PORT", help="port on which other programs get the positions, and the images of a replay"
    )
    send_back: bool = option(False, help="send the positions to the source too, as Slicer's OpenIGTLinkIF takes them")
    ahead: bool = option(False, help="also send the positions predicted ahead by the measured latency")
    record: Path | None = option(None, metavar="R.seq.nhdr", help="record every received frame")
    out: Path | None = option(None, metavar="TRACKS.csv", help="table of the positions, as track writes it")
    seconds: float | None = option(None, above=0, metavar="S", help="end after so many seconds (default: when stopped)")
    model: str | None = option(None, metavar="M", help="tracker (default lucas-kanade, of a contour lucas-kanade-wall)")
    weights: str | Path | None = option(None, metavar="FILE", help="trained weights in place of the tracker's own")
    device: str = option("auto", metavar="D", help="auto (default), cpu, cuda or mps")
    settings: Mapping[str, Any] | None = option(
        None, on_command_line=False, help="changes to the tracker's settings by name"
    )

    def __post_init__(self) -> None:
        check_options(self)
        _ = self.source_address, self.serve_address
        if self.points is not None and self.contour is not None:
            raise OptionError("contour", "is followed in place of points; leave one of them out")
        if self.replay is None and self.replay_rate_hz is not None:
            raise OptionError("replay_rate_hz", "needs a replay")
        if self.replay is not None and self.source is not None and not self._source_is_here:
            raise OptionError("source", "is this computer's address where a clip is replayed; leave the host out")
        segment_model(self.view)
        entry = find_tracker(self.tracker)
        if not entry.online:
            raise OptionError("model", f"{entry.name} sees the whole clip at once; choose one that sees frame by frame")

    @property
    def follows_wall(self) -> bool:
        """True where the points are a contour of the heart's wall, whose strain is measured."""
        return self.wall or self.contour is not None

    @property
    def tracker(self) -> str:
        """Name of the tracker."""
        return self.model or (_WALL_TRACKER if self.follows_wall else TrackRequest().model)

    @property
    def source_address(self) -> tuple[str, int]:
        """(host, port) of the source; port 0, one that is free, for a replay without an address."""
        if self.source is None and self.replay is not None:
            return "localhost", 0
        return parse_address(self.source or "localhost", option="--source")

    @property
    def serve_address(self) -> tuple[str, int] | None:
        """(host, port) of the server, None without one."""
        if self.serve is None:
            return None
        try:
            return parse_address(self.serve, option="--serve", default_port=None)
        except InputError:
            raise OptionError("serve", f"expected PORT or HOST:PORT, got {self.serve!r}") from None

    @property
    def _source_is_here(self) -> bool:
        return self.source_address[0] in ("localhost", "127.0.0.1")
