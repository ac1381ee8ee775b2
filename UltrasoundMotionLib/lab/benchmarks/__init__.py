"""Benchmarks, one module or folder each, which the command `benchmark` finds by its `add_parser`; the modules without
one are shared by all.
"""
