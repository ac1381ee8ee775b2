"""Draws the modules in their layouts: for the pages, or as large as Slicer's windows usually are, to be looked at after
a change of a panel, a layout, or what is shown in them.

    python Resources/Screenshots/draw_layouts.py             # the pages' pictures
    python Resources/Screenshots/draw_layouts.py FOLDER      # each module at 1600 x 1000 and 1366 x 768

(needs the extras `slicer`, `plot` and `test`). The samples are loaded and tracked by clicks. Slice views are Slicer's
own. Charts are drawn by VTK from the plot nodes, panels and tables by Qt for Python; what surrounds them in the
application (menus, tool bars, the views' bars) is left grey, at its usual size.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "Python"))

import slicer  # noqa: E402

from slicer_stand_ins import Application, slicer_application  # noqa: E402
from UltrasoundMotionLib.cli.main import main as ultrasound_motion  # noqa: E402
from UltrasoundMotionLib.mrml.bulls_eye_nodes import find_bulls_eye  # noqa: E402
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene  # noqa: E402
from UltrasoundMotionLib.mrml.layouts import (  # noqa: E402
    IMAGE,
    IMAGE_CHART_BULLS_EYE_TABLE,
    IMAGE_CHART_TABLE,
    OwnLayout,
)
from UltrasoundMotionLib.mrml.scene_files import read_scene  # noqa: E402
from UltrasoundMotionLib.mrml.slice_rendering import SliceView  # noqa: E402
from UltrasoundMotionLib.mrml.strain_scale import add_color_legend  # noqa: E402
from view_pictures import WINDOWS, Window, draw_chart, draw_table, draw_window  # noqa: E402

LANDMARK_FRAME = 12
SCENE_SIZE = (650, 510)
PAGE = Window((1230, 700), above=0, below=0, panel_above=0, panel_below=0, bar=4)


@dataclass(frozen=True)
class Module:
    """A module to draw.

    Attributes:
        name: of the module.
        picture: name of its picture.
        results: layout of its results.
        button: shows them.
        frame: to be shown with them; None for the one that the module shows.
    """

    name: str
    picture: str
    results: OwnLayout
    button: str
    frame: int | None = None


MODULES = (
    Module("LandmarkTracking", "landmark-tracking", IMAGE_CHART_TABLE, "plotButton", LANDMARK_FRAME),
    Module("MyocardialTracking", "myocardial-tracking", IMAGE_CHART_BULLS_EYE_TABLE, "chartsButton"),
)


class Drawing:
    """A module with its sample, drawn in windows of several sizes."""

    def __init__(self, scene: slicer.vtkMRMLScene, application: Application, name: str, folder: Path) -> None:
        self.scene, self._application, self._folder = scene, application, folder
        self.panel = application.open_module(name)
        self.click("sampleDataButton")
        self._image = SliceView(scene, self.panel.parameters.inputClip)  # a legend is drawn where a view is there first

    def click(self, name: str) -> None:
        """Clicks a button and waits for the run that it starts."""
        getattr(self.panel.ui, name).click()
        self._application.wait(lambda: self.panel.run is None, 300)

    def press(self, name: str) -> None:
        """Presses a button that stays down, and waits as well."""
        getattr(self.panel.ui, name).checked = True
        self._application.wait(lambda: self.panel.run is None, 300)

    def draw(self, window: Window, layout: OwnLayout) -> Image.Image:
        """Draws the window with what the views show now."""
        views = {"Red": self._red, "Yellow": self._yellow, "PlotView1": self._chart, "TableView1": self._table}
        return draw_window(window, layout, self.panel, views)

    def _red(self, size: tuple[int, int]) -> Image.Image:
        self._image.resize(size)
        return self._picture(self._image)

    def _yellow(self, size: tuple[int, int]) -> Image.Image:
        bulls_eye = find_bulls_eye(self.scene)
        with SliceView(self.scene, bulls_eye.image, size, view_name="Yellow") as view:
            return self._picture(view)

    def _picture(self, view: SliceView) -> Image.Image:
        return Image.open(view.write_png(self._folder / "view.png")).convert("RGB")

    def _chart(self, size: tuple[int, int]) -> Image.Image:
        view = self.scene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode")
        return Image.fromarray(draw_chart(view.GetPlotChartNode(), size).pixels)

    def _table(self, size: tuple[int, int]) -> Image.Image:
        view = self.scene.GetSingletonNode("TableView1", "vtkMRMLTableViewNode")
        return draw_table(view.GetTableNode(), size)

    def close(self) -> None:
        """Releases the scene."""
        self._image.close()


def draw_module(module: Module, windows: tuple[Window, ...], out: Path) -> None:
    """Draws a module with its sample: in several windows the layouts of its clip and of its results, else the latter
    for the pages.
    """
    with tempfile.TemporaryDirectory() as folder, HeadlessScene() as scene, slicer_application(scene) as application:
        drawing = Drawing(scene, application, module.name, Path(folder))
        for window in windows:
            save(drawing.draw(window, IMAGE), out / f"{module.picture}-clip-{window.size[0]}.png")
        drawing.click("applyButton")
        drawing.press(module.button)
        if module.frame is not None:
            scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode").SetSelectedItemNumber(module.frame)
        for window in windows:
            save(drawing.draw(window, module.results), out / f"{module.picture}-result-{window.size[0]}.png")
        if not windows:
            save(drawing.draw(PAGE, module.results), out / f"{module.picture}.png")
        drawing.close()


def draw_strain_scene(out: Path) -> None:
    """Draws the demo's scene as it opens."""
    with tempfile.TemporaryDirectory() as folder:
        ultrasound_motion(["demo", "--out", folder])
        with HeadlessScene() as scene:
            read_scene(scene, next(Path(folder).rglob("*.mrb")))
            browser = scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
            clip = browser.GetProxyNode(browser.GetMasterSequenceNode())
            with SliceView(scene, clip, SCENE_SIZE) as view:
                band = next(
                    node
                    for node in slicer.util.getNodesByClass("vtkMRMLModelNode")
                    if node.GetNumberOfDisplayNodes() > 1
                )
                legend = band.GetNthDisplayNode(1)
                title = legend.GetTitleText()
                scene.RemoveNode(legend)  # a legend is drawn where it is added to a scene that has a view
                add_color_legend(band, title)
                save(Image.open(view.write_png(Path(folder) / "view.png")).convert("RGB"), out / "strain-scene.png")


def save(picture: Image.Image, path: Path) -> None:
    """Writes a picture as a small PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


def main(folder: str = "") -> None:
    """Draws all of them."""
    out = Path(folder) if folder else Path(__file__).parent
    for module in MODULES:
        draw_module(module, WINDOWS if folder else (), out)
    if not folder:
        draw_strain_scene(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
