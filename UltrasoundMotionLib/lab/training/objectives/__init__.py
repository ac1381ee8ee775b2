"""Objectives: for each network the losses that train it and the measure that validates it."""
