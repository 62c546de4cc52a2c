"""A sandbox for Python code whose sessions can be branched.

| who | is | where |
|---|---|---|
| host | the process that has cells executed | `host`, `start` |
| warden | a process outside the sandbox that keeps the interpreters | `warden`, `ward`, `forking`, `execution` |
| interpreter | a process inside it; at rest it is a snapshot that forks | `interpreter`, `cell` |
| first | the interpreter that has executed nothing, ancestor of all others | `launcher`, `first` |
| place | what an interpreter sees of the file system and where it may write | `views`, `branching` |

What holds the code: `kernel` (namespaces, mounts, privileges), `landlock`, `seccomp`, `supervision`. What host and
sandbox say to each other: `protocol`, `frames`. What a session is: `state`, `digests`. What a user sets and is told:
`limits`, `report`.
"""
