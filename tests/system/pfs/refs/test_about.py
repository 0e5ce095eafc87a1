"""What an instance says about itself: its id, its version, odd clients, access control."""

from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from datamill.wire import (
    admin_v2_pb2,
    admin_v2_pb2_grpc,
    auth_v2_pb2,
    auth_v2_pb2_grpc,
    versionpb_v2_pb2,
    versionpb_v2_pb2_grpc,
)
from datamill.wire import pfs_v2_pb2 as pfs
from tests.system.pfs.driver import refused


def test_who_the_instance_is(pfs_channel: grpc.Channel) -> None:
    stub = admin_v2_pb2_grpc.APIStub(pfs_channel)
    info = stub.InspectCluster(admin_v2_pb2.InspectClusterRequest())
    assert info.warnings_ok
    assert info.id == stub.InspectCluster(admin_v2_pb2.InspectClusterRequest()).id
    version = versionpb_v2_pb2_grpc.APIStub(pfs_channel).GetVersion(Empty())
    assert (version.major, version.minor) == (2, 12)


def test_warnings_say_what_is_odd_about_a_client(pfs_channel: grpc.Channel) -> None:
    def warned(**request: Any) -> list[str]:
        stub = admin_v2_pb2_grpc.APIStub(pfs_channel)
        return list(stub.InspectCluster(admin_v2_pb2.InspectClusterRequest(**request)).warnings)

    fits = versionpb_v2_pb2.Version(major=2, minor=12, micro=3)
    assert warned(client_version=fits, current_project=pfs.Project(name="default")) == []
    for request, word in (
        ({}, "did not say its version"),
        ({"client_version": versionpb_v2_pb2.Version(major=2, minor=3)}, "much older"),
        ({"client_version": versionpb_v2_pb2.Version(major=3)}, "much newer"),
        ({"client_version": fits, "current_project": pfs.Project(name="nobody")}, 'Could not inspect project "nobody"'),
    ):
        (text,) = warned(**request)
        assert text.startswith("WARNING:")
        assert word in text


def test_access_control_says_that_it_is_off(pfs_channel: grpc.Channel) -> None:
    with refused(grpc.StatusCode.UNIMPLEMENTED, "the auth service is not activated"):
        auth_v2_pb2_grpc.APIStub(pfs_channel).WhoAmI(auth_v2_pb2.WhoAmIRequest())
