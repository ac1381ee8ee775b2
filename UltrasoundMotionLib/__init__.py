"""Follows moving tissue: tracks points in ultrasound sequences and registers images. Works in any Python, with or without Slicer."""

__version__ = "0.1.0"
