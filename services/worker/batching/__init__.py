"""Datum batching: one process of user code for a whole set, which asks for each datum by NextDatum."""
