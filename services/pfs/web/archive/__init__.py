"""Files and directories of any commits as one zip."""
