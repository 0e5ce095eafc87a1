"""The project and repo methods of pfs_v2.API."""

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Context
from services.pfs.domain.errors import Malformed, MissingField
from services.pfs.operations.refs import projects, repos
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.wire import from_wire, to_wire

MOST_REPOS = 2**62  # what databases can count


class ProjectRpcs(Rpcs):
    """Projects."""

    async def CreateProject(self, request: pfs.CreateProjectRequest, context: Context) -> Empty:
        name, now = request.project.name, self.clock.now()
        await self.db.run(projects.create_project, name, request.description, request.update, now)
        return Empty()

    async def InspectProject(self, request: pfs.InspectProjectRequest, context: Context) -> pfs.ProjectInfo:
        return to_wire.project_info(await self.db.read(projects.inspect_project, _name(request)))

    async def InspectProjectV2(
        self, request: pfs.InspectProjectV2Request, context: Context
    ) -> pfs.InspectProjectV2Response:
        info = to_wire.project_info(await self.db.read(projects.inspect_project, _name(request)))
        return pfs.InspectProjectV2Response(info=info, defaults_json="{}")

    async def ListProject(self, request: pfs.ListProjectRequest, context: Context) -> AsyncIterator[pfs.ProjectInfo]:
        for found in await self.db.read(projects.list_projects):
            yield to_wire.project_info(found)

    async def DeleteProject(self, request: pfs.DeleteProjectRequest, context: Context) -> Empty:
        await self.db.run(projects.delete_project, request.project.name)
        return Empty()


def _name(request: pfs.InspectProjectRequest | pfs.InspectProjectV2Request) -> str:
    if not request.HasField("project"):
        raise MissingField("project")
    return from_wire.project_name(request.project)


class RepoRpcs(Rpcs):
    """Repos."""

    async def CreateRepo(self, request: pfs.CreateRepoRequest, context: Context) -> Empty:
        key = from_wire.some_repo(request.repo, request.HasField("repo"))
        await self.change(repos.create_repo, key, description=request.description, update=request.update)
        return Empty()

    async def InspectRepo(self, request: pfs.InspectRepoRequest, context: Context) -> pfs.RepoInfo:
        key = from_wire.some_repo(request.repo, request.HasField("repo"))
        return to_wire.repo_info(await self.db.read(repos.inspect_repo, key), details=True)

    async def ListRepo(self, request: pfs.ListRepoRequest, context: Context) -> AsyncIterator[pfs.RepoInfo]:
        names = [from_wire.project_name(project) for project in request.projects]
        size, index = request.page.page_size, request.page.page_index
        if min(size, index) < 0 or size * index > MOST_REPOS:
            raise Malformed(f"there is no page {index} of {size} repos")
        for view in await self.db.read(
            repos.list_repos, type=request.type, projects=names, skip=size * index, limit=size or None
        ):
            yield to_wire.repo_info(view, details=False)

    async def DeleteRepo(self, request: pfs.DeleteRepoRequest, context: Context) -> pfs.DeleteRepoResponse:
        key = from_wire.repo_key(request.repo) if request.HasField("repo") else None
        owner = self.by_service(context)
        deleted = await self.change(repos.delete_repo, key, force=request.force, owner=owner)
        return pfs.DeleteRepoResponse(deleted=deleted)

    async def DeleteRepos(self, request: pfs.DeleteReposRequest, context: Context) -> pfs.DeleteReposResponse:
        names = [from_wire.project_name(project) for project in request.projects]
        owner = self.by_service(context)
        gone = await self.change(
            repos.delete_repos, projects=names, every=request.all, force=request.force, owner=owner
        )
        return pfs.DeleteReposResponse(repos=map(to_wire.repo, gone))

    async def ReposSummary(self, request: pfs.ReposSummaryRequest, context: Context) -> pfs.ReposSummaryResponse:
        names = [from_wire.picked_project(picker) for picker in request.projects]
        found = await self.db.read(projects.summarise_projects, names)
        return pfs.ReposSummaryResponse(
            summaries=[
                pfs.ReposSummary(
                    project=pfs.Project(name=one.project), user_repo_count=one.user_repos, size_bytes=one.size_bytes
                )
                for one in found
            ]
        )
