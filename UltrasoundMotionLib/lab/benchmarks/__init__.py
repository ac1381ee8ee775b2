"""Benchmarks: one module each, with its settings, its run and its command; `benchmark` finds them. The other modules are what they share."""
