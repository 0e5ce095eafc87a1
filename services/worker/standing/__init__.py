"""User code that stands: started once, and again whenever it ends."""
