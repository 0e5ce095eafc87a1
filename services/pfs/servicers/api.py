"""pfs_v2.API: the sum of its nouns. Methods that no noun has answer UNIMPLEMENTED."""

from datamill.wire.pfs_v2_pb2_grpc import APIServicer
from services.pfs.servicers.branches import BranchRpcs
from services.pfs.servicers.commits import CommitSetRpcs
from services.pfs.servicers.files import FileRpcs
from services.pfs.servicers.filesets import FileSetRpcs
from services.pfs.servicers.repos import ProjectRpcs, RepoRpcs
from services.pfs.servicers.walks import WalkRpcs


class PfsApi(ProjectRpcs, RepoRpcs, BranchRpcs, CommitSetRpcs, WalkRpcs, FileRpcs, FileSetRpcs, APIServicer):
    """Everything that is built."""
