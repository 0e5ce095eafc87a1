"""A job from its commit to its end: making, planning, moving, killing."""
