"""LT-Net: label transfer from one atlas."""
