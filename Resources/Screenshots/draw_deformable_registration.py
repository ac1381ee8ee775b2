"""Draws Docs' picture of Deformable Registration: its panel, and the pair before, after and as a checkerboard.

The panel is drawn by Qt for Python, with stand-ins for Slicer's own widgets, the views by Slicer's slice view.
`python Resources/Screenshots/draw_deformable_registration.py` (needs the extras `slicer`, `plot` and `test`). The
sample of volumes is loaded, registered and compared by clicks; the licence of the weights counts as agreed to.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "Python"))

import qt_stand_ins  # noqa: E402
from slicer_stand_ins import slicer_application  # noqa: E402
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene  # noqa: E402
from UltrasoundMotionLib.mrml.slice_rendering import SliceView  # noqa: E402
from UltrasoundMotionLib.weights import read_card, shipped_cards  # noqa: E402
from UltrasoundMotionLib.weights.licence_terms import ACCEPT_VARIABLE  # noqa: E402

PANEL_WIDTH = 430
CROP = (0.2, 0.25, 0.65, 0.7)
"""Left, top, right and bottom of the heart in a view, as parts of its size."""


def main() -> None:
    """Writes deformable-registration.png beside this file."""
    os.environ[ACCEPT_VARIABLE] = ",".join(read_card(path).licence for path in shipped_cards())
    with tempfile.TemporaryDirectory() as folder, HeadlessScene() as scene, slicer_application(scene) as application:
        widget = application.open_module("DeformableRegistration")
        ui = widget.ui
        ui.sampleDataButton.click()
        application.wait(lambda: widget.run is None, 300)
        with SliceView(scene, widget.parameters.fixedVolume, (900, 900)) as view:
            ui.applyButton.click()
            application.wait(lambda: widget.run is None, 600)
            views = []
            for button in (ui.beforeButton, ui.afterButton, ui.checkerboardButton):
                button.click()
                drawn = Image.open(view.write_png(Path(folder) / "view.png")).convert("RGB")
                views.append((button.text, drawn.crop([round(part * drawn.width) for part in CROP])))
            qt_stand_ins.render(widget.uiWidget, Path(folder) / "panel.png", PANEL_WIDTH)
        panel = Image.open(Path(folder) / "panel.png").convert("RGB")
        side = panel.height // len(views)
        picture = Image.new("RGB", (panel.width + side, panel.height))
        picture.paste(panel, (0, 0))
        for number, (title, drawn) in enumerate(views):
            shown = drawn.resize((side, side), Image.Resampling.LANCZOS)
            ImageDraw.Draw(shown).text((8, 6), title, fill="white", font_size=16)
            picture.paste(shown, (panel.width, number * side))
        picture.save(Path(__file__).with_name("deformable-registration.png"), optimize=True)


if __name__ == "__main__":
    main()
