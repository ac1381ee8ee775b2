"""Phantoms for evaluation alone, from a simulator that shares nothing with `UltrasoundMotionLib.simulation`: its
scenes, motion and physics were written apart, and no tracker is tuned or trained on them.

Echoes are summed at the elements of a probe and beamformed there: by `probe.py`, or by PyMUST, a library by others.
"""

SCENES = ("echo", "liver")
DIFFICULTIES = ("easy", "hard")
