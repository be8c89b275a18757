"""Learning one person: the loop, the photos as it sees them, checkpoints and the log."""
