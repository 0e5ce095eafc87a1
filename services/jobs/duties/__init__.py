"""What Jobs does by itself: driving jobs, following news, reconciling."""
