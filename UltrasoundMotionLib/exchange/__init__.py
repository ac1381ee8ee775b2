"""Exchange of labels and motions with other programs."""
