"""Taking what user code wrote: which files count, and how they become file sets."""
