"""Cohort Review: its parameters and logic, and the cases of a cohort as nodes of the scene."""
