"""Cohorts: one request for each of many cases, run in parallel, resumed, summarised and reviewed.

A manifest (`manifest.py`) lists the cases; each is run as its command line in a folder of its own (`case_run.py`), by
a pool of processes (`pool.py`) or in an array of jobs (`slurm.py`); `summary.py` makes tables and a page of all.
"""
