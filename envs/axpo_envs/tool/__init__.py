"""What a tool is: the protocol, and `@tool`, which reads signature and docstring of a typed function."""
