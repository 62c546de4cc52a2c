"""Defines what a run will take before it begins: memory, tokens and time, and a simulation of many devices."""
