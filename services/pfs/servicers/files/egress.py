"""Egress of pfs_v2.API: a whole commit, written to an object store or into tables of a database.

Elsewhere: writing objects and filling tables (operations/egress/).
"""

from datamill.wire import pfs_v2_pb2 as pfs
from services.kit.rpc.server import Context
from services.pfs.domain.errors import Malformed
from services.pfs.domain.files.records import Format
from services.pfs.operations.egress.export import export
from services.pfs.operations.egress.filling import fill_tables
from services.pfs.operations.files.read import Reading
from services.pfs.servicers.base import Rpcs
from services.pfs.servicers.wire import from_wire

FORMATS = {pfs.SQLDatabaseEgress.FileFormat.CSV: Format.CSV, pfs.SQLDatabaseEgress.FileFormat.JSON: Format.JSON}


class EgressRpcs(Rpcs):
    """Egress."""

    async def Egress(self, request: pfs.EgressRequest, context: Context) -> pfs.EgressResponse:
        match request.WhichOneof("target"):
            case "object_storage":
                return await self._to_objects(request)
            case "sql_database":
                return await self._to_tables(request)
        raise Malformed("egress failed")

    async def _to_objects(self, request: pfs.EgressRequest) -> pfs.EgressResponse:
        target, reading = self.urls.target(request.object_storage.url), await self._whole(request)
        written = await self.urls.waited_for(
            lambda stopped: export(self.stores, reading, reading.everything(), target, stopped)
        )
        result = pfs.EgressResponse.ObjectStorageResult(bytes_written=written)
        return pfs.EgressResponse(object_storage=result)

    async def _to_tables(self, request: pfs.EgressRequest) -> pfs.EgressResponse:
        wanted = request.sql_database
        _check_secret(wanted)
        kind = FORMATS.get(wanted.file_format.type)
        if kind is None:
            number, names = wanted.file_format.type, pfs.SQLDatabaseEgress.FileFormat.Type
            raise Malformed(f"unknown file format {names.Name(number) if number in names.values() else number}")
        database, columns = self.urls.database(wanted.url), tuple(wanted.file_format.columns)
        reading = await self._whole(request)
        rows = await self.urls.waited_for(
            lambda stopped: fill_tables(self.stores, reading, database, kind, columns, stopped)
        )
        return pfs.EgressResponse(sql_database=pfs.EgressResponse.SQLDatabaseResult(rows_written=rows))

    async def _whole(self, request: pfs.EgressRequest) -> Reading:
        ref = from_wire.commit_ref(request.commit if request.HasField("commit") else None)
        return Reading(await self.views.open(ref))


def _check_secret(wanted: pfs.SQLDatabaseEgress) -> None:
    if not wanted.HasField("secret"):
        raise Malformed("egress.sql_database.secret is required")
    if not wanted.secret.name or not wanted.secret.key:
        raise Malformed("egress.sql_database.secret.name and egress.sql_database.secret.key are required")
