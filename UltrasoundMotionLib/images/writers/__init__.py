"""Writers of sequences, one file per format; `UltrasoundMotionLib.images.write_sequence` chooses the writer."""
