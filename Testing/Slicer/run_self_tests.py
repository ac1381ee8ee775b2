"""Runs every self test inside the application and ends it with 0 or 1:

Slicer --testing --additional-module-paths UltrasoundMotion --python-script Testing/Slicer/run_self_tests.py
"""

import sys
import traceback
import unittest
from pathlib import Path

import slicer

HERE = Path(__file__).resolve().parent
MODULES = ("LandmarkTracking", "MyocardialTracking", "DeformableRegistration", "MotionPropagation", "CohortReview")


def main() -> int:
    """The exit status."""
    sys.path[:0] = [str(HERE), str(HERE.parents[1] / "UltrasoundMotion")]
    loader, suite = unittest.TestLoader(), unittest.TestSuite()
    for module in MODULES:
        suite.addTests(loader.loadTestsFromName(f"{module}.{module}Test"))
    suite.addTests(loader.loadTestsFromName("PanelSelfTest"))
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1


try:
    status = main()
except Exception:
    traceback.print_exc()
    status = 1
slicer.util.exit(status)
