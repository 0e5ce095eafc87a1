"""Jobs and datums: how soon they run, how many a second, what plans cost."""
