"""Exchange of labels with other programs."""
