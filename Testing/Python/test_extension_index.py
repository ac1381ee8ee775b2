"""What the Extensions Index checks of the extension's metadata, and that every file has the same address.

`extensions_index.json` holds the rules, read in the index's scripts and the schema of its entries at the commits that
it names. Its questions about code that runs on import are in `test_module_file_scope.py`.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import slicer_stand_ins
from slicer_stand_ins import MODULE_FOLDER, module_names, slicer_application
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene

ROOT = Path(__file__).resolve().parents[2]
RULES = json.loads(Path(__file__).with_name("extensions_index.json").read_text(encoding="utf-8"))
ENTRY_FILE = ROOT / "Docs" / "Extension" / "UltrasoundMotion.json"
ENTRY = json.loads(ENTRY_FILE.read_text(encoding="utf-8"))
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
TYPES = {"string": str, "array": list, "boolean": bool, "integer": int, "object": dict}
ADDRESSED = {"CMakeLists.txt", "CITATION.cff", "pyproject.toml", "README.md", "Docs/Extension/UltrasoundMotion.json"}
"""The files outside the code that state the address."""


def stated(name: str) -> str:
    """A constant of `shared/homepage.py`, which imports Slicer's translations and is therefore read, not imported."""
    tree = ast.parse((MODULE_FOLDER / "UltrasoundMotionModuleLib/shared/homepage.py").read_text(encoding="utf-8"))
    values = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == name]
    return ast.literal_eval(values[0])


HOMEPAGE, BRANCH = stated("HOMEPAGE"), stated("BRANCH")
RAW = f"{HOMEPAGE.replace('github.com', 'raw.githubusercontent.com')}/{BRANCH}/"


def cmake_variable(name: str) -> str:
    found = re.findall(rf'set\({name} "([^"]*)"\)', CMAKE)
    assert len(found) == 1, f"{name} is set once, to one quoted string"
    return found[0]


def faults(value: object, rule: dict) -> list[str]:
    """Where a value departs from a JSON schema, as far as the held one goes."""
    if not isinstance(value, TYPES[rule["type"]]) or (rule["type"] == "integer" and isinstance(value, bool)):
        return [f"{value!r} is no {rule['type']}"]
    found = []
    if value not in rule.get("enum", [value]):
        found.append(f"{value!r} is none of {rule['enum']}")
    if rule["type"] == "integer" and not rule["minimum"] <= value <= rule["maximum"]:
        found.append(f"{value} is out of range")
    if rule["type"] == "array":
        found += [fault for one in value for fault in faults(one, rule["items"])]
    if rule["type"] == "object":
        found += [f"{name} is missing" for name in rule["required"] if name not in value]
        for name, inner in value.items():
            known = name in rule["properties"]
            found += faults(inner, rule["properties"][name]) if known else [f"{name} is unknown"]
    return found


def test_the_entry_fits_its_schema():
    assert faults(ENTRY, RULES["schema"]) == []
    assert ENTRY["$schema"] == RULES["schema"]["address"]
    assert b"\r" not in ENTRY_FILE.read_bytes()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tier": 7}, "out of range"),
        ({"tier": "3"}, "no integer"),
        ({"homepage": "x"}, "unknown"),
        ({"build_dependencies": "PyTorch"}, "no array"),
        ({"build_dependencies": [1]}, "no string"),
        ({"scm_type": "svn"}, "none of"),
    ],
)
def test_an_entry_that_does_not_fit_is_found(change, complaint):
    assert any(complaint in fault for fault in faults({**ENTRY, **change}, RULES["schema"]))
    assert "category is missing" in faults({"$schema": "", "scm_url": ""}, RULES["schema"])


def test_the_entry_passes_the_checks_of_the_index():
    address = urlsplit(ENTRY["scm_url"])
    assert ENTRY["category"] in RULES["categories"]
    assert address.scheme in RULES["scm_url_schemes"]
    assert address.path.endswith(".git")
    repository = Path(address.path).stem
    assert repository.startswith(tuple(RULES["repository_prefixes"]))
    assert re.findall(RULES["cmake_patterns"]["project"], CMAKE)[0] == ENTRY_FILE.stem
    assert not ENTRY_FILE.stem.lower().startswith("slicer")
    assert cmake_variable("EXTENSION_DEPENDS").split() == ENTRY["build_dependencies"]
    assert any((ROOT / name).is_file() for name in RULES["licence_files"])


def test_pictures_of_the_extension_are_files_of_the_repository():
    patterns = RULES["cmake_patterns"]
    icons = re.findall(patterns["icon"], CMAKE)
    pictures = re.findall(patterns["screenshots"], CMAKE)[0].split()
    assert len(icons) == 1
    assert pictures
    for address in (*icons, *pictures):
        assert address.startswith(RAW), "raw.githubusercontent.com, not the page that GitHub shows of a file"
        assert address.endswith(".png")
        file = ROOT / address.removeprefix(RAW)
        assert file.read_bytes().startswith(b"\x89PNG"), f"{file} is no PNG"


@pytest.mark.skipif(slicer_stand_ins.qt_stand_ins is None, reason="needs Qt for Python")
def test_sizes_of_icon_and_thumbnails():
    image = slicer_stand_ins.qt_stand_ins.QtGui.QImage
    sizes = {
        ROOT / "Resources/Icons/UltrasoundMotion.png": (128, 128),
        **dict.fromkeys((MODULE_FOLDER / "Resources/Icons").glob("sample-*.png"), (260, 280)),  # as Sample Data's own
    }
    assert len(sizes) > 2
    assert {file.name: (image(str(file)).width(), image(str(file)).height()) for file in sizes} == {
        file.name: size for file, size in sizes.items()
    }


def test_a_clone_is_small_enough():
    """The index adds up the files of a clone with its history."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    try:
        history = int(git("rev-list", "--disk-usage", "--objects", "HEAD"))
        tracked = git("ls-files").splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout")
    files = sum((ROOT / name).stat().st_size for name in tracked if (ROOT / name).is_file())
    assert (history + files) / 2**20 < RULES["repository_size_mb"]


# One address


def test_every_file_has_the_same_address():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cmake_variable("EXTENSION_HOMEPAGE") == HOMEPAGE
    assert (ENTRY["scm_url"], ENTRY["scm_revision"]) == (f"{HOMEPAGE}.git", BRANCH)
    assert project["urls"]["Homepage"] == HOMEPAGE
    assert f"\nrepository-code: {HOMEPAGE}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"git clone {HOMEPAGE}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_nothing_else_spells_the_address():
    owner = urlsplit(HOMEPAGE).path.split("/")[1]
    anywhere = re.compile(rf"(?:github|githubusercontent)\.com/{owner}\b[^\s\"')]*")
    allowed = {*ADDRESSED, "UltrasoundMotion/UltrasoundMotionModuleLib/shared/homepage.py"}
    folders = ("UltrasoundMotion", "UltrasoundMotionLib", "Testing", "Docs", "Resources", ".github")
    texts = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    for file in (*texts, *(file for file in ROOT.iterdir() if file.is_file())):
        if file.suffix not in (".py", ".md", ".txt", ".json", ".toml", ".yml", ".cff", ".ui", ".ini", ""):
            continue
        name = file.relative_to(ROOT).as_posix()
        for found in anywhere.findall(file.read_text(encoding="utf-8", errors="ignore")):
            assert name in allowed, f"{name} spells {found}"
            place = HOMEPAGE.removeprefix("https://github.com") + ("/" if "usercontent" in found else "")
            assert found.partition(".com")[2].startswith(place), f"{name}: {found} is not under {HOMEPAGE}"


@pytest.mark.parametrize("name", module_names())
def test_a_modules_help_links_to_its_page(name):
    with HeadlessScene() as scene, slicer_application(scene) as application:
        text = application.load_module(name).module.parent.helpText
        sys.modules.pop(name, None)
    links = re.findall(r'href="([^"]*)"', text)
    assert len(links) == 1
    assert links[0].startswith(f"{HOMEPAGE}/blob/{BRANCH}/Docs/reference/")
    assert (ROOT / links[0].removeprefix(f"{HOMEPAGE}/blob/{BRANCH}/")).is_file()
