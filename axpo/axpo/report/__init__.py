"""HTML pages of runs and comparisons, with their charts and pictures."""
