"""Jobs, datums, leases, results and logs."""
