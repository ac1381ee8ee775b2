"""Events that change the whole picture of a clip, and the notes that tell the user of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CUT, JUMP, FROZEN, BLACK = "cut", "jump", "frozen", "black"
_LISTED = 8


@dataclass(frozen=True)
class PictureEvent:
    """One event.

    Attributes:
        kind: CUT, JUMP, FROZEN or BLACK.
        first: the first frame that shows it.
        last: the last one; of a cut, the last before the picture returned.
        detail: of a cut, how the picture is like the one before.
        shift: of a jump, or several close by, how far the picture moved in all, (x, y) in pixels.
        returned: whether the picture of before was seen again after a cut.
    """

    kind: str
    first: int
    last: int
    detail: str = ""
    shift: tuple[int, int] = (0, 0)
    returned: bool = False


def picture_notes(events: Iterable[PictureEvent], *, frame: int = 0, step: int = 1) -> list[str]:
    """Returns a note for each event, cuts first, in which frames count from 0 at the clip's start.

    Args:
        frame: the clip's frame that the events count from.
        step: 1 where they count forwards, -1 backwards.
    """
    ordered = sorted(events, key=lambda event: (CUT, JUMP, FROZEN, BLACK).index(event.kind))
    return [_note(event, sorted((frame + step * event.first, frame + step * event.last)), step) for event in ordered]


def shortened(notes: Sequence[str]) -> list[str]:
    """Returns at most eight notes, the last of which says how many were left out."""
    if len(notes) <= _LISTED:
        return list(notes)
    return [*notes[: _LISTED - 1], f"{len(notes) - _LISTED + 1} more cuts, jumps or frozen stretches of the video"]


def _note(event: PictureEvent, frames: list[int], step: int) -> str:
    seen = frames[0] if step > 0 else frames[1]
    end = frames[1] if step > 0 else frames[0]
    stretch = f"frame {frames[0]}" if frames[0] == frames[1] else f"frames {frames[0]} to {frames[1]}"
    if event.kind == CUT:
        like = event.detail or "a cut, another view, depth or probe position"
        back = f"; it returns after frame {end}" if event.returned and step > 0 else ""
        back = f"; before frame {end} it is as it was" if event.returned and step < 0 else back
        return (
            f"frame {seen}: the picture becomes another at once ({like}){back}; points are visible only where the "
            "picture is that of the query frame"
        )
    if event.kind == JUMP:
        way = f"({event.shift[0]:+d}, {event.shift[1]:+d}) px"
        return f"{stretch}: the picture jumps by {way}; the points were moved along"
    if event.kind == FROZEN:
        return f"{stretch}: the video stands still; points are not visible there"
    return f"{stretch}: nothing is shown; points are not visible there"
