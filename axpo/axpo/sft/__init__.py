"""Supervised fine-tuning: demonstrations, where they come from, lessons, and the run."""
