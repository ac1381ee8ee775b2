"""One file per format; each turns a path into an `ImageSequence`.

Use `UltrasoundMotionLib.images.read_sequence`, which chooses.
"""
