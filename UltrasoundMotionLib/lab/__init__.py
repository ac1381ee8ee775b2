"""The laboratory: training and benchmarks. Not installed in Slicer; the library never imports it."""
