"""Handing out datum sets: the queue, leases, what workers do, how many are wanted."""
