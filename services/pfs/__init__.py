"""Projects, repositories, branches, commits, files and content."""
