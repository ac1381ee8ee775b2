"""Motions of the frames of a sequence: files, mean, inverse and composition."""
