"""A training run from start to end: its loop, checkpoints, evaluations, resumption and interrupts."""
