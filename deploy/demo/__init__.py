"""The example of examples/image-quality, run from nothing to its result, then changed by one picture."""
