"""pfs_v2.API: the sum of its nouns. Methods that no noun has answer UNIMPLEMENTED."""

from datamill.wire.pfs_v2_pb2_grpc import APIServicer
from services.pfs.servicers.files.files import FileRpcs
from services.pfs.servicers.files.filesets import FileSetRpcs
from services.pfs.servicers.files.upkeep import UpkeepRpcs
from services.pfs.servicers.refs.branches import BranchRpcs
from services.pfs.servicers.refs.commit_sets import CommitSetRpcs
from services.pfs.servicers.refs.commits import CommitRpcs
from services.pfs.servicers.refs.repos import ProjectRpcs, RepoRpcs
from services.pfs.servicers.refs.walks import WalkRpcs


class PfsApi(
    ProjectRpcs,
    RepoRpcs,
    BranchRpcs,
    CommitRpcs,
    CommitSetRpcs,
    WalkRpcs,
    FileRpcs,
    FileSetRpcs,
    UpkeepRpcs,
    APIServicer,
):
    """Everything that is built."""
