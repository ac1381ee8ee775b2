"""The request of placing a clip in a volume: every option that a user has, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.settings import check_options, option

MILLIMETRES, PIXELS = "mm", "pixels"


@dataclass(frozen=True)
class PlaceRequest:
    """The options of placing, the same from Python and the command line: a matrix, or pairs of landmarks, or tracking
    (with a matrix from its reference to the volume, if that is another space).

    Attributes:
        matrix: file with the transform from the clip (or the tracker's reference) to the volume.
        matrix_maps: what the matrix maps from: "mm" of the clip's own space, or its "pixels".
        matrix_lps: plain numbers are in LPS mm; ITK's files always are.
        inverse: the matrix maps the other way, from the volume to the clip.
        clip_points: landmarks on the clip, see `read_query_points`.
        volume_points: the same landmarks in the volume.
        scale: the landmarks also give one factor of size.
        calibration: PLUS' configuration, or the matrix from pixels to the probe.
        image_frame, reference_frame: names of coordinate systems, see `place_by_tracking`.

    Raises:
        OptionError: options that exclude or need each other.
    """

    matrix: Path | None = option(
        None,
        metavar="M",
        help="transform from the clip to the volume: .tfm/.h5/.mat of ITK, Slicer or ANTs, or 4 x 4 numbers"
        " (.txt, .csv, .json, .npy, .mat) in RAS mm; with tracking: from its reference to the volume",
    )
    matrix_maps: str = option(
        MILLIMETRES,
        choices=(MILLIMETRES, PIXELS),
        help="the matrix maps mm of the clip's space (default) or its pixels",
    )
    matrix_lps: bool = option(False, help="the 4 x 4 numbers are in LPS mm")
    inverse: bool = option(False, help="the matrix maps the other way, from the volume to the clip")
    clip_points: Path | None = option(
        None, metavar="P", help="landmarks on the clip: label,x,y (.csv) or markups (.mrk.json); with --volume-points"
    )
    volume_points: Path | None = option(
        None, metavar="Q", help="the same landmarks in the volume: markups (.mrk.json) or label,r,a,s (.csv, RAS mm)"
    )
    scale: bool = option(False, help="the landmarks also give one factor of size, for a clip of unknown pixel size")
    calibration: Path | None = option(
        None, metavar="C", help="tracked probe: PLUS' configuration (.xml), or the matrix from pixels to the probe"
    )
    image_frame: str = option("", metavar="NAME", help="tracked probe: the image's coordinate system (default Image)")
    reference_frame: str = option(
        "", metavar="NAME", help="tracked probe: the coordinate system to place in (default Reference)"
    )

    def __post_init__(self) -> None:
        check_options(self)
        if (self.clip_points is None) != (self.volume_points is None):
            raise OptionError("clip_points" if self.clip_points else "volume_points", "landmarks are needed on both")
        if self.clip_points and (self.matrix or self.tracked):
            raise OptionError("clip_points", "choose landmarks, or a matrix and tracking, not both")
        if not (self.matrix or self.clip_points or self.tracked):
            raise OptionError(
                "matrix",
                "give a matrix, or clip_points and volume_points, or calibration (or reference_frame) for tracking",
            )
        if self.scale and not self.clip_points:
            raise OptionError("scale", "belongs to landmarks")
        if self.inverse and not self.matrix:
            raise OptionError("inverse", "belongs to a matrix")
        if self.matrix_maps == PIXELS and (self.tracked or not self.matrix):
            raise OptionError("matrix_maps", "pixels belong to a matrix without tracking")

    @property
    def tracked(self) -> bool:
        """True where the frames' own transforms are to be used."""
        return self.calibration is not None or bool(self.reference_frame) or bool(self.image_frame)
