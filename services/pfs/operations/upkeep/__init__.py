"""Looking into the history, and keeping it in order: searches, checks, forgetting, deleting everything."""
