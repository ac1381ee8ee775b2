"""Names and numbers of the left ventricle's segments, and which of them each view shows.

Names and numbers 1 to 17: Cerqueira et al. 2002 (AHA), as adapted to echocardiography by Lang et al. 2015 (ASE/EACVI
chamber quantification). Their places in each view, and walls cut into three parts of equal length at end-diastole:
Voigt et al. 2015 (EACVI/ASE/Industry).
"""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError

SEGMENT_NAMES = (
    *(
        f"basal {wall}"
        for wall in ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
    ),
    *(
        f"mid {wall}"
        for wall in ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
    ),
    *(f"apical {wall}" for wall in ("anterior", "septal", "inferior", "lateral")),
    "apex",
)  # number 1 is the first
SEGMENT_NAMES_18 = (
    *SEGMENT_NAMES[:12],
    *(
        f"apical {wall}"
        for wall in ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
    ),
)


@dataclass(frozen=True)
class SegmentModel:
    """The segments of one view.

    Attributes:
        view: the view's name.
        names: the segments' names in the order of the contour: apical views from the base on the image's left over the
            apex to the base on the right; short-axis views around the wall from the anterior insertion of the right
            ventricle along the septum (counter-clockwise as usually shown).
        numbers: their numbers in the 17-segment model.
        numbers_18: their numbers in the 18-segment model; empty for the apical short axis, whose four segments that
            model does not have.
        closed: True for short-axis views, whose contour is a ring.
    """

    view: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    numbers_18: tuple[int, ...]
    closed: bool = False

    @property
    def names_18(self) -> tuple[str, ...]:
        """The segments' names in the 18-segment model, which cuts the apex into six."""
        return tuple(SEGMENT_NAMES_18[number - 1] for number in self.numbers_18)


def _model(view: str, numbers: tuple[int, ...], numbers_18: tuple[int, ...], closed: bool = False) -> SegmentModel:
    return SegmentModel(view, tuple(SEGMENT_NAMES[number - 1] for number in numbers), numbers, numbers_18, closed)


_MODELS = {
    model.view: model
    for model in (
        _model("A4C", (3, 9, 14, 16, 12, 6), (3, 9, 15, 18, 12, 6)),
        _model("A2C", (4, 10, 15, 13, 7, 1), (4, 10, 16, 13, 7, 1)),
        _model("APLAX", (5, 11, 16, 14, 8, 2), (5, 11, 17, 14, 8, 2)),
        _model("SAX-base", (2, 3, 4, 5, 6, 1), (2, 3, 4, 5, 6, 1), closed=True),
        _model("SAX-mid", (8, 9, 10, 11, 12, 7), (8, 9, 10, 11, 12, 7), closed=True),
        _model("SAX-apex", (14, 15, 16, 13), (), closed=True),
    )
}
_OTHER_NAMES = {"SAX": "SAX-mid", "A3C": "APLAX", "ALAX": "APLAX"}
_VIEWS = tuple(_MODELS)


def segment_model(view: str) -> SegmentModel:
    """Returns the segments of a view.

    Args:
        view: A4C, A2C, APLAX (or A3C), SAX-base, SAX-mid (or SAX) or SAX-apex, in upper or lower case.

    Raises:
        InputError: an unknown view.
    """
    name = str(view).upper().replace("BASE", "base").replace("MID", "mid").replace("APEX", "apex")
    model = _MODELS.get(_OTHER_NAMES.get(name, name))
    if model is None:
        raise InputError(f"view must be one of {', '.join(_VIEWS)}, got {view}")
    return model
