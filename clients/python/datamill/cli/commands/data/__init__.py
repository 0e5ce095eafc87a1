"""Commands about what is versioned."""
