"""Evaluations of a policy on held-out questions, of checkpoints and of policies in memory."""
