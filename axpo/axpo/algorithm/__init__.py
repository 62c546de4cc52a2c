"""The algorithm as pure functions: a training step, from the sampling of groups to the update of the weights."""
