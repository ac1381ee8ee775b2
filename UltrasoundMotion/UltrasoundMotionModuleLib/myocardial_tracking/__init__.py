"""Myocardial Tracking: its parameters and logic, and the parts of its panel for the wall and for strain."""
