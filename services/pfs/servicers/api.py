"""pfs_v2.API: the sum of its nouns. Methods that no noun has answer UNIMPLEMENTED."""

from datamill.wire.pfs_v2_pb2_grpc import APIServicer
from services.pfs.servicers.files.egress import EgressRpcs
from services.pfs.servicers.files.files import FileRpcs
from services.pfs.servicers.files.filesets import FileSetRpcs
from services.pfs.servicers.files.upkeep import UpkeepRpcs
from services.pfs.servicers.refs.checks import CheckRpcs
from services.pfs.servicers.refs.history import HistoryRpcs
from services.pfs.servicers.refs.repos import ProjectRpcs
from services.pfs.servicers.refs.walks import WalkRpcs
from services.pfs.servicers.transactions.joining import JoiningRpcs


class PfsApi(
    ProjectRpcs,
    JoiningRpcs,
    WalkRpcs,
    HistoryRpcs,
    CheckRpcs,
    FileRpcs,
    FileSetRpcs,
    UpkeepRpcs,
    EgressRpcs,
    APIServicer,
):
    """Everything that is built."""
