"""What log lines are, how they are kept, and which of them a reader wants."""
