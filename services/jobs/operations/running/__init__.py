"""A job from its commit to its end: making, moving, feeding the queue, killing."""
