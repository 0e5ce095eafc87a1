"""The goals of the storage engine, through the API of a real PFS: up to 10 million files, in two kinds of place."""
