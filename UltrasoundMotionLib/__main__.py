"""Entry point of `python -m UltrasoundMotionLib`, the same as `ultrasound-motion`."""

import sys

from UltrasoundMotionLib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
