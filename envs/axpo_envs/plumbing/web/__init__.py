"""Asking web services: retries, keys that stay in the environment, and posting JSON, which needs the extra `search`.

`redact` takes keys and other registered secrets out of texts.
"""

from axpo_envs.plumbing.web._environment_key import EnvironmentKey
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.plumbing.web.redaction import redact, register_secret

__all__ = ["EnvironmentKey", "Retries", "redact", "register_secret"]
