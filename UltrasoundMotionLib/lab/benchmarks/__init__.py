"""Benchmarks beside other libraries."""
