"""The supervisor and the parts that it keeps alive."""
