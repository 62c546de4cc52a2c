"""What executes episodes: the rules from state to state, the judging and running of calls, and worker processes."""
