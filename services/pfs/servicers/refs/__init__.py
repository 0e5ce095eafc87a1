"""The methods on projects, repos, branches and commits."""
