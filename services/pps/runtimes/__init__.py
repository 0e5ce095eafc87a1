"""How workers come to exist. Nothing outside this folder knows which runtime runs."""
