"""Comparisons of methods from one start on the same questions."""
