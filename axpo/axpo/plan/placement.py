"""Defines `Placement`: which devices learn, which sample, and what kind they are of."""

from __future__ import annotations

from dataclasses import dataclass

from axpo.plan.machines import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a run's parts lie."""

    learners: int
    """Devices that learn, one process each; they sample as well where no server does."""
    samplers: int = 0
    """Devices of servers that sample."""
    is_divided: bool = False
    """Whether weights are divided among the learners (FSDP2)."""
    on_cuda: bool = True
    """Whether the devices are CUDA's."""
    machine: Machine
    """What a device can do."""

    @property
    def memory_bytes(self) -> float:
        """All of a device's memory."""
        return self.machine.memory_gb * 1e9

    @property
    def usable_bytes(self) -> int:
        """What tensors can have of it."""
        return self.machine.usable_bytes

    @property
    def nodes(self) -> int:
        """Nodes that the learners stand on."""
        return -(-self.learners // self.machine.devices_per_node)

    @property
    def link(self) -> float:
        """Bytes per second that a collective among the learners moves for each."""
        peak = self.machine.link_gbs if self.nodes == 1 else self.machine.network_gbs
        return peak * 1e9 * self.machine.link_share
