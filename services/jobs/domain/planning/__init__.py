"""Which datums a job has: from an input tree, from what changed, and which of them run."""
