"""What is installed is what was written, and nothing heavy loads before it is needed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_cmake_installs_every_file_of_the_library_but_the_laboratory():
    listing = (ROOT / "UltrasoundMotionLib" / "CMakeLists.txt").read_text()
    assert re.search(r"file\(GLOB_RECURSE MODULE_PYTHON_SCRIPTS RELATIVE \S+ CONFIGURE_DEPENDS \*\.py\)", listing)
    assert 'list(FILTER MODULE_PYTHON_SCRIPTS EXCLUDE REGEX "^lab/")' in listing
    assert "SCRIPTS ${MODULE_PYTHON_SCRIPTS}" in listing


def test_the_library_never_imports_the_laboratory():
    library = ROOT / "UltrasoundMotionLib"
    pattern = re.compile(r"^\s*(import|from) UltrasoundMotionLib\.lab\b", flags=re.MULTILINE)
    importing = {
        path.relative_to(library).parts[0] for path in library.rglob("*.py") if pattern.search(path.read_text())
    }
    assert importing <= {"lab"}


def test_only_the_bridge_knows_slicer():
    pattern = re.compile(r"^\s*(import|from) (slicer|vtk|qt|ctk)\b", flags=re.MULTILINE)
    knowing = {
        path.relative_to(ROOT).parts[1]
        for path in (ROOT / "UltrasoundMotionLib").rglob("*.py")
        if pattern.search(path.read_text())
    }
    assert knowing <= {"mrml"}


def test_public_names_exist_and_import_is_light():
    code = (
        "import sys, UltrasoundMotionLib as library\n"
        "library.read_sequence, library.PointTracks\n"
        "heavy = {'torch', 'matplotlib', 'scipy', 'slicer', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "for name in library.__all__: getattr(library, name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
