"""What a change does to the DAG of commits: one unit of work, propagation, resolving names."""
