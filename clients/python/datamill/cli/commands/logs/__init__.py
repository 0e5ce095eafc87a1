"""Commands that read logs: in order, or by what stands in them."""
