"""Log-probabilities of given tokens, in padded rows or in a packed tree of what sequences share."""
