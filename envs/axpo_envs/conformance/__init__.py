"""The contract of environments and tools as checks; users call them through `axpo_envs.testing`."""
