"""Projects, repos, branches and commits: changing, deleting, listing and viewing them."""
