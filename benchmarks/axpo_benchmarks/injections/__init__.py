"""Prompt injection: texts from outside in results of tools, and how often an agent does as they say."""

from axpo_benchmarks.injections._command import InjectionsConfig, run_injections
from axpo_benchmarks.injections._corpus import Corpus, Injection, Kind, Scene, Sign, read_corpus
from axpo_benchmarks.injections._env import injections_env
from axpo_benchmarks.injections._references import REFERENCES

__all__ = [
    "REFERENCES",
    "Corpus",
    "Injection",
    "InjectionsConfig",
    "Kind",
    "Scene",
    "Sign",
    "injections_env",
    "read_corpus",
    "run_injections",
]
