"""Parts that several panels use: the widget they extend, the run in the background, clips, samples and packages."""
