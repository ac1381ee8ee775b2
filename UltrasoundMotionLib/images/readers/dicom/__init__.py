"""Readers of DICOM: clips, stills, and stacks of slices, from one file or a folder of files."""
