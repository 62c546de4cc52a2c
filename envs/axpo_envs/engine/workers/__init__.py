"""Worker processes: where tools with a time limit run, because a process can be killed and a thread cannot.

A call goes to an idle worker and is waited for. At the limit the worker is killed with its process group, so that
processes which the tool has started end, too. What follows from that:

- The first call of a process costs some 0.3 s (the *nursery* starts, a small Python process that imports `axpo_envs`
  and nothing else); a new worker is forked from it in milliseconds; a call of a warm worker costs about 0.2 ms. A limit
  counts the call alone, not these.
- Workers are forked from the nursery, never from the calling process, so that its threads, locks and accelerators are
  none of theirs, and scripts need no `if __name__ == "__main__"`.
- Tool, arguments, state and result travel pickled (cloudpickle: closures, lambdas and what a script or notebook defines
  travel by value). What cannot be pickled (locks, sockets, open files, clients) is refused when the environment is
  made: open such things within the function, or make the tool async.
- A worker imports the module of the tool; where it cannot (a module made at run time), the code itself is sent.
- What a call changes outside its state (globals, closures) stays in the worker, which is one of several. Its working
  directory and environment variables are those of the first call.
- At most `MAX_WORKERS` calls run at a time; further ones wait, at no cost to their limits. Numerical libraries use one
  thread per worker unless the environment variables say otherwise.
"""

from axpo_envs.engine.workers._pool import MAX_WORKERS, WorkerPool
from axpo_envs.engine.workers._timed_step import TimedStep

__all__ = ["MAX_WORKERS", "TimedStep", "WorkerPool"]
