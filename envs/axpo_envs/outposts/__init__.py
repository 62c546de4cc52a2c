"""Work in other processes, on other machines: turns of an environment far from the policy, and workers that may die.

A `Workforce` holds workers, each a process with an object whose methods are asked for. Whoever starts the processes
(Ray, say) gives a `Worker` for each; `LocalWorker` is one in this process. A worker that is lost is a `WorkerLost`, an
infrastructure fault, and its seat is filled anew by the next who asks. `outposted` has an environment's turns taken
there.
"""

from axpo_envs.outposts._environment import EnvWorker, env_order, outposted
from axpo_envs.outposts._post import LocalWorker, Post, Worker, WorkerLost, answer_of, order
from axpo_envs.outposts._workforce import Workforce

__all__ = [
    "EnvWorker",
    "LocalWorker",
    "Post",
    "Worker",
    "WorkerLost",
    "Workforce",
    "answer_of",
    "env_order",
    "order",
    "outposted",
]
