"""Jobs, PFS and PPS as a worker sees them: calls, the lease it keeps, the secrets it fetches."""
