"""Pictures to look at, from arrays: heat maps of words, contact sheets."""
