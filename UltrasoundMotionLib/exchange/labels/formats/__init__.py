"""The formats of labels, one file each."""
