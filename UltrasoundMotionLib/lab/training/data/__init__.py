"""What networks are trained on: sources of images with known motion or labels, and the batches drawn from them."""
