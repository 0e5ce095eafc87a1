"""Programs of users that a server itself evaluates: each in a process of its own, which cannot reach anything."""
