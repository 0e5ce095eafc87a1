"""What Jobs does: making, driving, planning, leasing, counting, reading."""
