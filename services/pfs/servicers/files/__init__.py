"""The methods on files and file sets."""
