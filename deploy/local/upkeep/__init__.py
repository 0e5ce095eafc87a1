"""Looking after an instance on this machine: calls that need its token, backups, restoring one."""
