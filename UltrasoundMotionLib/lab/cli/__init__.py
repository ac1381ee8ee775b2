"""The command line's verbs `train` and `benchmark`."""
