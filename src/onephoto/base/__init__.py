"""Training of the embedded model: everything needed to make its weights again from nothing."""
