"""Our environments as workflows of rLLM 0.2 and 0.3, the stack of AXPO's paper; no package index has it."""

from axpo.adapters.rllm._workflow import rllm_workflow

__all__ = ["rllm_workflow"]
