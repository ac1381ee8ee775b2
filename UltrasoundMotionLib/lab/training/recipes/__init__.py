"""Training recipes, one file for each network."""
