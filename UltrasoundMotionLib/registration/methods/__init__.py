"""Registration methods, one file or folder each; `pkgutil` finds them."""
