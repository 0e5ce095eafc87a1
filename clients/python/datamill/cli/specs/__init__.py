"""Reading pipeline specs from files, and telling every mistake in them by file, line and path."""
