"""Draws Docs' picture of Myocardial Tracking: its panel, the coloured wall and the bull's-eye.

The panel is drawn by Qt for Python, with stand-ins for Slicer's own widgets, wall and bull's-eye by Slicer's slice
view. `python Resources/Screenshots/draw_myocardial_tracking.py` (needs the extras `slicer`, `plot` and `test`). The
sample is loaded and tracked by clicks.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "Python"))

import qt_stand_ins  # noqa: E402
from slicer_stand_ins import slicer_application  # noqa: E402
from UltrasoundMotionLib.mrml.bulls_eye_nodes import find_bulls_eye, show_bulls_eye  # noqa: E402
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene  # noqa: E402
from UltrasoundMotionLib.mrml.slice_rendering import SliceView  # noqa: E402

PANEL_WIDTH, VIEW_WIDTH = 430, 640


def main() -> None:
    """Writes myocardial-tracking.png beside this file."""
    with tempfile.TemporaryDirectory() as name, HeadlessScene() as scene, slicer_application(scene) as application:
        folder = Path(name)
        widget = application.open_module("MyocardialTracking")
        widget.ui.sampleDataButton.click()
        application.wait(lambda: widget.run is None, 300)
        with SliceView(scene, widget.parameters.inputClip, (VIEW_WIDTH, 560)) as view:  # there before the legend is
            widget.ui.applyButton.click()
            application.wait(lambda: widget.run is None, 300)
            widget.parameters.contour.SetDisplayVisibility(False)
            frame = widget.ui.endSystoleSpinBox.value
            scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode").SetSelectedItemNumber(frame)
            wall = Image.open(view.write_png(folder / "wall.png")).convert("RGB")
        widget.ui.chartsButton.checked = True
        qt_stand_ins.render(widget.uiWidget, folder / "panel.png", PANEL_WIDTH)
        panel = Image.open(folder / "panel.png").convert("RGB")
        nodes = find_bulls_eye(scene)
        show_bulls_eye(nodes, "Red")
        with SliceView(scene, nodes.image, (VIEW_WIDTH, panel.height - wall.height)) as view:
            bulls_eye = Image.open(view.write_png(folder / "bulls-eye.png")).convert("RGB")
        picture = Image.new("RGB", (panel.width + VIEW_WIDTH, panel.height))
        for part, place in ((panel, (0, 0)), (wall, (panel.width, 0)), (bulls_eye, (panel.width, wall.height))):
            picture.paste(part, place)
        picture.save(Path(__file__).with_name("myocardial-tracking.png"), optimize=True)


if __name__ == "__main__":
    main()
