"""Draws Docs' picture of Motion Propagation: its panel and its result on two frames.

The panel is drawn by Qt for Python, with stand-ins for Slicer's own widgets, the result by Slicer's slice view.
`python Resources/Screenshots/draw_motion_propagation.py` (needs the extras `slicer`, `plot` and `test`). The sample is
loaded and carried along by clicks.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "Python"))

import qt_stand_ins  # noqa: E402
from slicer_stand_ins import slicer_application  # noqa: E402
from UltrasoundMotionLib.mrml.carried_measures import measuring  # noqa: E402
from UltrasoundMotionLib.mrml.carrying import carried_object  # noqa: E402
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene  # noqa: E402
from UltrasoundMotionLib.mrml.object_motion import image_of_browser  # noqa: E402
from UltrasoundMotionLib.mrml.slice_rendering import SliceView  # noqa: E402
from UltrasoundMotionLib.steps import run_steps  # noqa: E402

PANEL_WIDTH = 430


def main() -> None:
    """Writes motion-propagation.png beside this file."""
    with tempfile.TemporaryDirectory() as folder, HeadlessScene() as scene, slicer_application(scene) as application:
        widget = application.open_module("MotionPropagation")
        for button in (widget.ui.sampleDataButton, widget.ui.applyButton):
            button.click()
            application.wait(lambda: widget.run is None, 300)
        nodes = carried_object(widget.parameters.carried)
        systole = int(np.argmin(run_steps(measuring(nodes)).columns[0].values))
        nodes.browser.SetSelectedItemNumber(systole)
        qt_stand_ins.render(widget.uiWidget, Path(folder) / "panel.png", PANEL_WIDTH)
        pictures = [Image.open(Path(folder) / "panel.png").convert("RGB")]
        height = pictures[0].height
        for frame in (0, systole):
            nodes.browser.SetSelectedItemNumber(frame)
            with SliceView(scene, image_of_browser(nodes), (height * 3 // 4, height)) as view:
                pictures.append(Image.open(view.write_png(Path(folder) / f"view{frame}.png")).convert("RGB"))
        picture = Image.new("RGB", (sum(one.width for one in pictures), height))
        left = 0
        for one in pictures:
            picture.paste(one, (left, 0))
            left += one.width
        picture.save(Path(__file__).with_name("motion-propagation.png"), optimize=True)


if __name__ == "__main__":
    main()
