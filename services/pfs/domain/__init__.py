"""What projects, repositories, branches, commits and files are, and the rules they keep."""
