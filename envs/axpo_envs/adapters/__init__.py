"""Environments as other libraries want them: fixed spaces for stable-baselines3, teams for PettingZoo."""
