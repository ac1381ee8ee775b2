"""Buttons, menus and fields that the pages for users and the panels' messages name are in the panels."""

import ast
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "UltrasoundMotion"
DOCS = ROOT / "Docs"
PAGES = [ROOT / "README.md", *sorted((DOCS / "tutorials").glob("*.md")), *sorted((DOCS / "how-to").glob("*.md"))]
SLICERS_OWN = {
    "Add Data",
    "Add Python scripted modules to the application",
    "Data",
    "Extensions Manager",
    "PyTorch",  # the extension
    "Sample Data",
    "Save",
    "Sequences",
}
"""Names in Slicer itself, and of other extensions."""
EMPHASIS = {"Not for clinical use.", "heart MRI for research only"}
"""Bold words that name no control."""


def plain(text: str) -> str:
    """A label as it is read: without the mark of its key and what follows a name (colon, ellipsis)."""
    return (
        re.sub(r"\s+", " ", text.replace("&&", "\0").replace("&", "").replace("\0", "&")).strip().rstrip(".: ").strip()
    )


def texts_of_panels() -> set[str]:
    found = set()
    for panel in MODULES.rglob("*.ui"):
        for entry in ET.parse(panel).iter("property"):
            if entry.get("name") in ("text", "title", "windowTitle"):
                found.add(entry.findtext("string") or "")
    return {plain(text) for text in found} - {""}


def constants(tree: ast.AST) -> set[str]:
    """The string constants of code; "Remove stored samples ({size})" without what is filled in at its end."""
    return {
        plain(re.sub(r"\s*\(\{\w+\}\)$", "", node.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    } - {""}


def texts_of_buttons_and_menus_in(tree: ast.AST) -> set[str]:
    """What code adds to a menu or writes on a button."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("addAction", "addButton"):
            found |= constants(node)
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "attr", "") == "text":
            found |= constants(node.value)
    return found


@pytest.fixture(scope="module")
def trees():
    return [ast.parse(file.read_text(encoding="utf-8")) for file in MODULES.rglob("*.py")]


@pytest.fixture(scope="module")
def buttons(trees):
    return texts_of_panels().union(*map(texts_of_buttons_and_menus_in, trees))


@pytest.fixture(scope="module")
def every(trees):
    """Titles of modules and items of menus too."""
    return texts_of_panels().union(*map(constants, trees))


def is_known(name: str, known: set[str]) -> bool:
    """Whether a control has the name, or it and a comma begin an item: "Cardiac cine MRI, end-systole to ..."."""
    return (
        name in SLICERS_OWN
        or plain(name) in known
        or any(text.startswith((f"{name}, ", f"{name} (")) for text in known)
    )


def named_in(page: Path) -> list[str]:
    """The bold names of a page's running text, menu paths taken apart; not what tables and code hold."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    names = re.findall(r"\*\*([^*]+)\*\*", text.replace("\n", " "))
    return [re.sub(r"\s+", " ", part).strip() for name in names for part in name.split(" > ")]


def pressed_in(page: Path) -> list[str]:
    """The names that a page says to press."""
    text = " ".join(page.read_text(encoding="utf-8").split())
    return [name.rsplit(" > ", 1)[-1] for name in re.findall(r"\b[Pp]ress(?:es|ed|ing)? \*\*([^*]+)\*\*", text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_control_that_a_page_names_exists(page, every, buttons):
    assert [name for name in named_in(page) if name not in EMPHASIS and not is_known(name, every)] == []
    assert [name for name in pressed_in(page) if not is_known(name, buttons)] == []


def test_every_control_that_a_message_names_exists(trees, buttons):
    """Messages put the names of buttons between curly quotes."""
    quoted = {
        name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in re.findall("\u201c([^\u201d{}]+)\u201d", node.value)
    }
    assert {"Place landmarks", "Track again from here"} <= quoted
    assert [name for name in sorted(quoted) if not is_known(name, buttons | {"Create new"})] == []  # a selector's line


def test_a_name_that_no_panel_has_is_found(tmp_path, every, buttons):
    page = tmp_path / "page.md"
    text = "Press **Load clip...** or **Load\nclip ...**, then **Ultrasound > Track it**; press **Middle of the wall**."
    page.write_text(text, encoding="utf-8")
    assert [is_known(name, every) for name in named_in(page)] == [True, True, True, False, True]
    assert [is_known(name, buttons) for name in pressed_in(page)] == [True, False]


@pytest.mark.parametrize("name", ["landmarks", "strain", "registration"])
def test_a_tutorial_begins_with_a_clip_that_the_reader_has(name):
    """The first thing to press is **Load clip...**; the sample is named after it as the alternative."""
    page = DOCS / "tutorials" / f"{name}.md"
    pressed = pressed_in(page)
    assert pressed[0] == "Load clip..."
    assert any(one.startswith("Load sample") for one in pressed[1:])
