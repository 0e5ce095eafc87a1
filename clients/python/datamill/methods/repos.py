"""Projects, repos and branches."""

from collections.abc import Iterable, Iterator

from datamill import names
from datamill.transport import Calls
from datamill.wire import pfs_v2_pb2 as pfs


class Repos(Calls):
    """Methods about where data is kept. A repo is `repo` or `project/repo`, a branch `repo@branch`."""

    def create_project(self, name: str, description: str = "", *, update: bool = False) -> None:
        """Make a project, or with update change its description. Raises AlreadyExists, Invalid."""
        project = names.project(name)
        request = pfs.CreateProjectRequest(project=project, description=description, update=update)
        self.call(self.pfs.CreateProject, request)

    def inspect_project(self, name: str) -> pfs.ProjectInfo:
        return self.call(self.pfs.InspectProject, pfs.InspectProjectRequest(project=names.project(name)))

    def list_projects(self) -> Iterator[pfs.ProjectInfo]:
        return self.stream(self.pfs.ListProject, pfs.ListProjectRequest())

    def delete_project(self, name: str, *, force: bool = False) -> None:
        """Delete a project that holds no repos. Raises Refused."""
        self.call(self.pfs.DeleteProject, pfs.DeleteProjectRequest(project=names.project(name), force=force))

    def create_repo(self, repo: str | pfs.Repo, description: str = "", *, update: bool = False) -> None:
        """Make a repo; with update it may exist, and its description is changed. Raises AlreadyExists, NotFound."""
        request = pfs.CreateRepoRequest(repo=names.repo(repo), description=description, update=update)
        self.call(self.pfs.CreateRepo, request)

    def inspect_repo(self, repo: str | pfs.Repo) -> pfs.RepoInfo:
        return self.call(self.pfs.InspectRepo, pfs.InspectRepoRequest(repo=names.repo(repo)))

    def list_repos(self, *, projects: Iterable[str] = (), type: str = "user") -> Iterator[pfs.RepoInfo]:
        """Repos by name. projects: none for all. type: "user", "meta", "spec", or "" for every type."""
        chosen = [names.project(name) for name in projects]
        return self.stream(self.pfs.ListRepo, pfs.ListRepoRequest(type=type, projects=chosen))

    def delete_repo(self, repo: str | pfs.Repo, *, force: bool = False) -> bool:
        """Delete a repo with all its history; False when there was none."""
        return self.call(self.pfs.DeleteRepo, pfs.DeleteRepoRequest(repo=names.repo(repo), force=force)).deleted

    def create_branch(
        self,
        branch: str | pfs.Branch,
        *,
        head: str | pfs.Commit | None = None,
        provenance: Iterable[str | pfs.Branch] = (),
        trigger: pfs.Trigger | None = None,
    ) -> None:
        """Make a branch, or replace what an existing one derives from. Without head it keeps its own, or is empty."""
        request = pfs.CreateBranchRequest(
            branch=names.branch(branch),
            head=None if head is None else names.commit(head),
            provenance=[names.branch(one) for one in provenance],
            trigger=trigger,
        )
        self.call(self.pfs.CreateBranch, request)

    def inspect_branch(self, branch: str | pfs.Branch) -> pfs.BranchInfo:
        return self.call(self.pfs.InspectBranch, pfs.InspectBranchRequest(branch=names.branch(branch)))

    def list_branches(self, repo: str | pfs.Repo, *, reverse: bool = False) -> Iterator[pfs.BranchInfo]:
        """Branches of a repo, newest first, or oldest first with reverse."""
        return self.stream(self.pfs.ListBranch, pfs.ListBranchRequest(repo=names.repo(repo), reverse=reverse))

    def delete_branch(self, branch: str | pfs.Branch, *, force: bool = False) -> None:
        self.call(self.pfs.DeleteBranch, pfs.DeleteBranchRequest(branch=names.branch(branch), force=force))
