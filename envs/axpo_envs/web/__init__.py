"""Asking web services: retries, keys that stay in the environment, and posting JSON, which needs the extra `search`.

`redact` takes keys and other registered secrets out of texts.
"""

from axpo_envs.web.environment_key import EnvironmentKey
from axpo_envs.web.redaction import redact, register_secret
from axpo_envs.web.retries import Retries

__all__ = ["EnvironmentKey", "Retries", "redact", "register_secret"]
