"""A run on a cluster of Ray: workers that take turns of the environment, and workers that sample.

The trainer's own process, or processes, learn; the group buffer there is where sampling and learning meet.
"""
