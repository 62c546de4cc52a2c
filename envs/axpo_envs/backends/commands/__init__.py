"""Commands in a sandbox: a folder of files as immutable data, programs that are executed in a copy of it.

| who | is | where |
|---|---|---|
| host | the process that has commands executed | `runner` |
| guest | the first process of a sandbox that is made for one command | `_guest`, `_guest_files` |

The sandbox is made of what the Python sandbox is made of (`axpo_envs.backends.python_sandbox`): its namespaces, its
view of files, its filter on system calls with a table of its own (`_calls`). What a folder is: `trees`, `_build`. What
a user sets: `limits`.
"""
