"""Looking after the objects of Jobs: what nothing refers to any more, and whether the rest is whole."""
