"""What the three modules share, so that each module file holds only what is its own. A package, so that Slicer's scan
for modules passes it by.

Importing it makes `UltrasoundMotionLib` importable. Nothing here imports more than the standard library, slicer, vtk,
qt and ctk when it is loaded.
"""

from UltrasoundMotionModuleLib.library_path import make_library_importable

make_library_importable()
