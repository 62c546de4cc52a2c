"""Runs on several processes: who does which part of a step, where weights lie, and how all end together."""
