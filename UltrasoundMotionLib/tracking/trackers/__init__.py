"""Trackers, one file or folder each; `pkgutil` finds them."""
