"""Running user code: its environment, its process group, its output lines."""
