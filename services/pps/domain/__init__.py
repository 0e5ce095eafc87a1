"""What a pipeline is: names, specs, inputs, states. Plain values and pure functions."""
