"""Asking web services: retries, keys that stay in the environment, and posting JSON, which needs the extra `search`."""

from axpo_envs.web.environment_key import EnvironmentKey
from axpo_envs.web.retries import Retries

__all__ = ["EnvironmentKey", "Retries"]
