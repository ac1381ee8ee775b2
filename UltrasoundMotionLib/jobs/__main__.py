"""`python -m UltrasoundMotionLib.jobs`: the child process of `JobProcess`.

Reads jobs from stdin and writes events to stdout, one JSON object per line.
"""

import argparse
from pathlib import Path

from UltrasoundMotionLib.deferred_modules import defer_modules
from UltrasoundMotionLib.jobs.capability import add_capability
from UltrasoundMotionLib.jobs.child import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m UltrasoundMotionLib.jobs", description=__doc__)
    parser.add_argument("--parent", metavar="PID", type=int, help="the application's process, with which this one ends")
    parser.add_argument("--root", metavar="FOLDER", type=Path, help="removed when the application is gone")
    parser.add_argument(
        "--capability", metavar="MODULE", action="append", default=[], help="a module outside of the package to allow"
    )
    arguments = parser.parse_args()
    defer_modules()
    for name in arguments.capability:
        add_capability(name)
    main(arguments.parent, arguments.root)
