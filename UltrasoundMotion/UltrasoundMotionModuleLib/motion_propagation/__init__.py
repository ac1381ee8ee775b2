"""Motion Propagation: its parameters and logic, and the parts of its panel for results and transform sequences."""
