"""Time: clocks that are handed in, schedules, timestamps of requests."""
