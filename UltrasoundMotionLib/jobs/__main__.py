"""`python -m UltrasoundMotionLib.jobs`: the child process of `JobProcess`.

Reads jobs from stdin and writes events to stdout, one JSON object per line.
"""

import argparse
from pathlib import Path

from UltrasoundMotionLib.jobs.child import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m UltrasoundMotionLib.jobs", description=__doc__)
    parser.add_argument("--parent", metavar="PID", type=int, help="the application's process, with which this one ends")
    parser.add_argument("--root", metavar="FOLDER", type=Path, help="removed when the application is gone")
    arguments = parser.parse_args()
    main(arguments.parent, arguments.root)
