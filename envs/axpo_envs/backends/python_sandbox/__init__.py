"""A sandbox for Python code whose sessions can be branched.

| who | is | where |
|---|---|---|
| host | the process that has cells executed | `host`, `start` |
| warden | a process outside the sandbox that keeps the interpreters | `_warden`, `_ward`, `_forking`, `_execution` |
| interpreter | a process inside it; at rest it is a snapshot that forks | `_interpreter`, `_cell` |
| first | the interpreter that has executed nothing, ancestor of all others | `_launcher`, `_first` |
| place | what an interpreter sees of the file system and where it may write | `_views`, `_branching` |

What holds the code: `_kernel` (namespaces, mounts, privileges), `_landlock`, `_seccomp`, `_supervision`. What host and
sandbox say to each other: `protocol`, `_frames`. What a session is: `state`, `_digests`. What a user sets and is told:
`limits`, `report`.
"""
