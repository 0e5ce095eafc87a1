"""The command line `datamill`."""
