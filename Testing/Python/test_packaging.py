"""What is installed is what was written, and nothing heavy loads before it is needed."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_cmake_installs_every_file_of_the_library():
    library = ROOT / "UltrasoundMotionLib"
    listed = set(re.findall(r"^\s+(\S+\.py)$", (library / "CMakeLists.txt").read_text(), flags=re.MULTILINE))
    written = {path.relative_to(library).as_posix() for path in library.rglob("*.py")}
    assert listed == written


def test_only_the_bridge_knows_slicer():
    pattern = re.compile(r"^\s*(import|from) (slicer|vtk|qt|ctk)\b", flags=re.MULTILINE)
    knowing = {path.relative_to(ROOT).parts[1] for path in (ROOT / "UltrasoundMotionLib").rglob("*.py") if pattern.search(path.read_text())}
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
