"""Secrets: made, listed and deleted by users, who never see a value again; and handed to workers, who need them."""

from google.protobuf.empty_pb2 import Empty

from datamill.wire import pps_v2_pb2 as pps
from datamill.wire import secrets_v1_pb2 as wire
from datamill.wire.secrets_v1_pb2_grpc import SecretServiceServicer
from services.kit.errors import Invalid
from services.kit.rpc.server import Context, require_service
from services.pps.domain.secrets import SecretFacts
from services.pps.operations.secrets import Secrets
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.to_wire import key_of


class SecretRpcs(PipelineRpcs):
    """CreateSecret, InspectSecret, ListSecret, DeleteSecret."""

    async def CreateSecret(self, request: pps.CreateSecretRequest, context: Context) -> Empty:
        await self.secrets.create(request.file)
        return Empty()

    async def InspectSecret(self, request: pps.InspectSecretRequest, context: Context) -> pps.SecretInfo:
        return _info(await self.secrets.inspect(_named(request)))

    async def ListSecret(self, request: Empty, context: Context) -> pps.SecretInfos:
        return pps.SecretInfos(secret_info=[_info(one) for one in await self.secrets.listing()])

    async def DeleteSecret(self, request: pps.DeleteSecretRequest, context: Context) -> Empty:
        await self.secrets.delete(_named(request))
        self.reconciler.nudge()
        return Empty()


def _named(request: pps.InspectSecretRequest | pps.DeleteSecretRequest) -> str:
    if not request.HasField("secret"):
        raise Invalid("validate request: secret: value is required")
    return request.secret.name


def _info(secret: SecretFacts) -> pps.SecretInfo:
    info = pps.SecretInfo(secret=pps.Secret(name=secret.name), type=secret.type)
    info.creation_timestamp.FromDatetime(secret.created_at)
    return info


class SecretService(SecretServiceServicer):
    """For workers and services only: every call needs the service token."""

    def __init__(self, secrets: Secrets, *, token: str) -> None:
        self._secrets, self._token = secrets, token

    async def FetchSecrets(self, request: wire.FetchSecretsRequest, context: Context) -> wire.FetchSecretsResponse:
        require_service(context, self._token)
        found = await self._secrets.of_version(key_of(request.pipeline), request.pipeline_version, request.names)
        answer = wire.FetchSecretsResponse()
        for name, values in sorted(found.items()):
            answer.secrets.add(name=name, values=dict(values))
        return answer
