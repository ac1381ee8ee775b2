"""One line of the page of formats: an input that is drawn, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CLIP, VOLUME = "as a clip", "as a volume"
GREY = np.arange(3 * 6 * 8).reshape(3, 6, 8).astype(np.uint8)


@dataclass(frozen=True)
class Row:
    """An input and what is made of it.

    Attributes:
        name: as the page calls it.
        make: writes it into a folder and returns its path.
        use: `CLIP` or `VOLUME`.
        meaning: what is read, if it is read; a refusal is taken from the message.
    """

    name: str
    make: Callable[[Path], Path]
    use: str
    meaning: str = ""

    def outcome(self, folder: Path) -> str:
        """Reads the input in a new folder and says what came out."""
        from UltrasoundMotionLib.errors import InputError
        from UltrasoundMotionLib.images import read_sequence, read_volume

        path = self.make(folder)
        try:
            if self.use == CLIP:
                read_sequence(path).frame(0)
            else:
                read_volume(path)
        except InputError as error:
            message = str(error).removeprefix(f"{path}").lstrip("/: ").replace("|", "\\|")
            return f"refused: *{message}*"
        return f"read: {self.meaning}"
