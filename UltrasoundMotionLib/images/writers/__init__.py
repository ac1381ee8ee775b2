"""One file per format; use `UltrasoundMotionLib.images.write_sequence`, which chooses."""
