"""What is written to disk, whole or not at all, with seals by which changes are found: run folders, logs, rollouts."""
