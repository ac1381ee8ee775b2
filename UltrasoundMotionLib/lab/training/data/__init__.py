"""Training data: sources of images with known motion or labels, and the batches drawn from them."""
