"""Logs of jobs: kept in objects when a job has ended, and read from there and from the stream as one."""
