"""A local page over runs that goes on while they train: curves, groups of a step, a group as its tree."""
