"""What a job is made of and what may become of it: plain values and pure functions."""
