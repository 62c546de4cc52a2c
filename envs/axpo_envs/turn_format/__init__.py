"""The text form of an assistant's turn: its tags, and the calls and boxed answers in it."""
