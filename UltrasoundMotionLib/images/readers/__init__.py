"""Readers of sequences, one file per format; `UltrasoundMotionLib.images.read_sequence` chooses the reader."""
