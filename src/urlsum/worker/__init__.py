"""The worker: one delivery, one slice of one task, its email, and the sweep."""
