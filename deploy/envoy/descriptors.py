"""What the gateway must know to speak JSON for gRPC: every public method, and the address POST /api/<service>/<method>.

Elsewhere: where these addresses lead to (envoy.yaml; by the method, as for gRPC).
"""

import importlib

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2, status_pb2

MODULES = ("pfs_v2", "pps_v2", "transaction_v2", "metadata", "admin_v2", "versionpb_v2", "auth_v2", "storage", "logs")


def services() -> list[str]:
    """The full names of the services that JSON is spoken for."""
    return [service.full_name for file in _public() for service in file.services_by_name.values()]


def descriptors() -> bytes:
    """A serialized google.protobuf.FileDescriptorSet, each file after those that it imports."""
    found = descriptor_pb2.FileDescriptorSet()
    known = set[str]()
    public = {file.name for file in _public()}
    for file in (annotations_pb2.DESCRIPTOR, status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR, *_public()):
        _add(file, found, known)
    for message in found.file:
        if message.name in public:
            message.dependency.append(annotations_pb2.DESCRIPTOR.name)
            for service in message.service:
                for method in service.method:
                    rule = method.options.Extensions[annotations_pb2.http]
                    rule.post, rule.body = f"/api/{message.package}.{service.name}/{method.name}", "*"
    return found.SerializeToString(deterministic=True)


def _public() -> list[FileDescriptor]:
    return [importlib.import_module(f"datamill.wire.{name}_pb2").DESCRIPTOR for name in MODULES]


def _add(file: FileDescriptor, found: descriptor_pb2.FileDescriptorSet, known: set[str]) -> None:
    if file.name in known:
        return
    known.add(file.name)
    for other in file.dependencies:
        _add(other, found, known)
    file.CopyToProto(found.file.add())
