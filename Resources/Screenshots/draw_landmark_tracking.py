"""Draws Docs' picture of Landmark Tracking: its panel and its result.

The panel is drawn by Qt for Python, with stand-ins for Slicer's own widgets, the result by Slicer's slice view.
`python Resources/Screenshots/draw_landmark_tracking.py` (needs the extras `slicer`, `plot` and `test`). The sample is
loaded and tracked by clicks.
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
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene  # noqa: E402
from UltrasoundMotionLib.mrml.slice_rendering import SliceView  # noqa: E402

PANEL_WIDTH, FRAME = 430, 12


def main() -> None:
    """Writes landmark-tracking.png beside this file."""
    with tempfile.TemporaryDirectory() as folder, HeadlessScene() as scene, slicer_application(scene) as application:
        widget = application.open_module("LandmarkTracking")
        for button in (widget.ui.sampleDataButton, widget.ui.applyButton):
            button.click()
            application.wait(lambda: widget.run is None, 300)
        bar = widget.uiWidget._wrapped.findChild(qt_stand_ins.QtWidgets.QLabel, "frameBar")
        application.wait(lambda: not bar.pixmap().isNull())
        widget.parameters.landmarks.GetDisplayNode().SetVisibility(False)
        clip = widget.parameters.inputClip
        scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode").SetSelectedItemNumber(FRAME)
        qt_stand_ins.render(widget.uiWidget, Path(folder) / "panel.png", PANEL_WIDTH)
        panel = Image.open(Path(folder) / "panel.png").convert("RGB")
        with SliceView(scene, clip, (panel.height, panel.height)) as view:
            drawn = Image.open(view.write_png(Path(folder) / "view.png")).convert("RGB")
        picture = Image.new("RGB", (panel.width + drawn.width, panel.height))
        picture.paste(panel, (0, 0))
        picture.paste(drawn, (panel.width, 0))
        picture.save(Path(__file__).with_name("landmark-tracking.png"), optimize=True)


if __name__ == "__main__":
    main()
