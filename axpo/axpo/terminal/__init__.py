"""What a run says on a terminal, and how it goes on where that fails."""
