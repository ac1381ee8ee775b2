"""One file per benchmark; what they share of arguments and printing is in `tracker_arguments` and `result_output`."""
