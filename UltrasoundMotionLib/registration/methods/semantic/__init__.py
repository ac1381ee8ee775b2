"""Semantically guided registration."""
