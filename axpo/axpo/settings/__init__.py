"""The settings of training, fine-tuning and evaluation, their files, and the checks before any work."""
