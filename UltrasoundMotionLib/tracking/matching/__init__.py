"""Matching of templates, and the fusion of the short and the long memory."""
