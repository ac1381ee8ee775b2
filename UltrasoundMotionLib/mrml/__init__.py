"""Results as 3D Slicer's nodes and back: sequences, markups, transforms, tables, plots, scenes.

The only package that imports slicer. Everything takes the scene explicitly: the application's own inside 3D Slicer, a
`HeadlessScene` elsewhere.
"""

from UltrasoundMotionLib.errors import MissingPackageError

try:
    import slicer as _slicer

    if not hasattr(_slicer, "vtkMRMLScene"):  # PyPI also holds an unrelated package of that name
        raise ImportError("the installed package slicer is not 3D Slicer's")
except ImportError as error:
    raise MissingPackageError(
        f'scenes need 3D Slicer\'s libraries ({error}); install them with: pip install "slicer-core>=5.12.4,<5.13"'
    ) from error
