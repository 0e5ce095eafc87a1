"""Which calls a collection waits for: all of them, but those that are known to hold nothing."""

from typing import cast

import pytest

from services.kit.storage.database import Database
from services.kit.time.clock import SystemClock
from services.pfs.operations.collection.presence import Presence


def quiet_during(method: str) -> bool:
    presence = Presence(cast("Database", None), SystemClock(), session="s", epoch=1)
    with presence.around(method):
        return presence.learn(2) == 2


@pytest.mark.parametrize(
    "method",
    [
        "/pfs_v2.API/ModifyFile",
        "/storage.Fileset/CreateFileset",
        "/datamill.content.v1.ContentService/PutEntries",
        "/x/Y",
    ],
)
def test_a_call_is_waited_for(method: str) -> None:
    assert not quiet_during(method)


@pytest.mark.parametrize(
    "method",
    ["/pfs_v2.API/SubscribeCommit", "/datamill.upkeep.v1.UpkeepService/CollectGarbage", "/grpc.health.v1.Health/Watch"],
)
def test_one_that_holds_nothing_is_not(method: str) -> None:
    assert quiet_during(method)
