"""The commands of the command line, a module for each noun; each registers itself with its verbs."""
