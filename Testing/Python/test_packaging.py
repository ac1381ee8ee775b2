"""What is installed is what was written, and nothing heavy loads before it is needed."""

import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_cmake_installs_every_file_of_the_library_but_the_laboratory():
    listing = (ROOT / "UltrasoundMotionLib" / "CMakeLists.txt").read_text()
    assert re.search(r"file\(GLOB_RECURSE MODULE_PYTHON_SCRIPTS RELATIVE \S+ CONFIGURE_DEPENDS \*\.py\)", listing)
    assert 'list(FILTER MODULE_PYTHON_SCRIPTS EXCLUDE REGEX "^lab/")' in listing
    assert "SCRIPTS ${MODULE_PYTHON_SCRIPTS}" in listing


def test_cmake_installs_every_module_part_and_resource():
    listing = (ROOT / "UltrasoundMotion" / "CMakeLists.txt").read_text()
    for variable, pattern in (
        ("GLOB MODULE_FILES", "*.py"),
        ("GLOB_RECURSE SHARED_SCRIPTS", "UltrasoundMotionModuleLib/*.py"),
        ("GLOB_RECURSE SHARED_RESOURCES", "Resources/*"),
    ):
        assert f"file({variable} RELATIVE ${{CMAKE_CURRENT_SOURCE_DIR}} CONFIGURE_DEPENDS {pattern})" in listing


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_what_cmake_installs_is_what_was_written(tmp_path):
    """Configures both folders with a macro in place of Slicer's that writes down what it is given."""
    (tmp_path / "CMakeLists.txt").write_text(f"""
        cmake_minimum_required(VERSION 3.16.3)
        project(Packaging NONE)
        macro(slicerMacroBuildScriptedModule)
          cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR" "NAME" "SCRIPTS;RESOURCES" ${{ARGN}})
          foreach(FILE ${{MY_SCRIPTS}} ${{MY_RESOURCES}})
            file(APPEND ${{CMAKE_BINARY_DIR}}/installed "${{MY_NAME}} ${{FILE}}\\n")
          endforeach()
        endmacro()
        add_subdirectory({(ROOT / "UltrasoundMotion").as_posix()} modules)
        add_subdirectory({(ROOT / "UltrasoundMotionLib").as_posix()} library)
    """)
    build = tmp_path / "build"
    done = subprocess.run(["cmake", "-S", tmp_path, "-B", build], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split(" ", 1) for line in (build / "installed").read_text().splitlines()]
    listed = [file for name, file in lines if name != "UltrasoundMotionLib"]
    assert sorted(listed) == _written(ROOT / "UltrasoundMotion", "CMakeLists.txt")
    listed = [file for name, file in lines if name == "UltrasoundMotionLib"]
    assert sorted(listed) == _written(ROOT / "UltrasoundMotionLib", "CMakeLists.txt", "lab/")
    names = {file.removesuffix(".py") for name, file in lines if "/" not in file and name in file}
    assert names == {name for name, _ in lines} - {"UltrasoundMotionLib"}
    for name in names:
        assert {f"Resources/UI/{name}.ui", f"Resources/Icons/{name}.png"} <= {file for _, file in lines}


def _written(folder, *left_out):
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(file for file in files if "__pycache__" not in file and not file.startswith(left_out))


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
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    import UltrasoundMotionLib as library

    assert all(hasattr(library, name) for name in library.__all__)


@pytest.mark.parametrize("kind", [DeprecationWarning, PendingDeprecationWarning])
def test_deprecated_calls_in_our_own_code_are_errors(kind):
    """So the tests fail in the version of Python that announces a removal, not in the one that removes."""
    with pytest.raises(kind):
        warnings.warn_explicit("gone soon", kind, "any.py", 1, module="UltrasoundMotionLib.images.any")
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn_explicit("gone soon", kind, "any.py", 1, module="somebody.elses")
    assert len(seen) == 1
