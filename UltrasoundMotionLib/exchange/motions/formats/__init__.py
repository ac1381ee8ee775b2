"""The formats of motions, one file each."""
