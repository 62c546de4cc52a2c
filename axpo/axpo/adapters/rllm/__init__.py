"""Our environments as workflows of rLLM, the stack of AXPO's paper; written after its source, for PyPI has none."""

from axpo.adapters.rllm._workflow import rllm_workflow

__all__ = ["rllm_workflow"]
