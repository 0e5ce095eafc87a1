"""Listing, looking at and creating datums: of jobs, also while they run, and of inputs that are no pipeline's."""

from collections.abc import Iterator
from dataclasses import replace
from queue import Queue
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from datamill.wire import pfs_v2_pb2 as pfs
from datamill.wire import pps_v2_pb2 as pps
from datamill.wire.inputs_v1_pb2 import CompleteInputRequest
from datamill.wire.inputs_v1_pb2_grpc import InputServiceStub
from tests.support.servers import unique
from tests.system.jobs.hands import Bench, job, repo


def tree(value: dict[str, Any]) -> pps.Input:
    return ParseDict(value, pps.Input())


def leaf(bench: Bench, **more: Any) -> dict[str, Any]:
    return {"pfs": {"repo": bench.source, "glob": "/*", **more}}


def listed(bench: Bench, **asked: Any) -> list[pps.DatumInfo]:
    return list(bench.jobs.ListDatum(pps.ListDatumRequest(**asked), timeout=120))


def ids(found: list[pps.DatumInfo]) -> list[str]:
    return [info.datum.id for info in found]


def refused(bench: Bench, text: str, **asked: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        listed(bench, **asked)
    assert text in (caught.value.details() or "")


def test_datums_of_a_job_grow_by_sets_and_are_listed_by_page(bench: Bench) -> None:
    bench.create(input=leaf(bench, name="in"), datumSetSpec={"number": 2})
    id = bench.commit({f"/{name}": name.encode() for name in "abcdef"})
    hands, of = bench.hands(), job(bench.name, id)
    hands.do_one()
    running = listed(bench, job=of)
    assert len(running) == 2
    for _ in range(2):
        hands.do_one()
    bench.ended(id)
    every = listed(bench, job=of)
    assert ids(every) == sorted(ids(every))
    assert set(ids(running)) <= set(ids(every))
    assert ids(every) == ids(listed(bench, input=tree(leaf(bench, name="in"))))  # an input's are those of its jobs
    for asked in ({"job": of}, {"input": tree(leaf(bench, name="in"))}):
        assert ids(listed(bench, **asked, number=2)) == ids(every)[:2]
        assert ids(listed(bench, **asked, number=2, paginationMarker=ids(every)[1])) == ids(every)[2:4]
        assert ids(listed(bench, **asked, number=2, reverse=True)) == ids(every)[:-3:-1]
        assert ids(listed(bench, **asked, number=9, reverse=True, paginationMarker=ids(every)[2])) == ids(every)[1::-1]
        refused(bench, "number must be > 0 when reverse is set", **asked, reverse=True)
    good = pps.ListDatumRequest.Filter(state=[pps.DatumState.SUCCESS])
    bad = pps.ListDatumRequest.Filter(state=[pps.DatumState.FAILED, pps.DatumState.SKIPPED])
    assert (len(listed(bench, job=of, filter=good)), len(listed(bench, job=of, filter=bad))) == (6, 0)
    refused(bench, "cannot specify both job and input", job=of, input=tree(leaf(bench)))
    refused(bench, "not found", job=job(bench.name, "0" * 12 + "4" + "0" * 19))


def inspect(bench: Bench, id: str, of: pps.Job | None) -> pps.DatumInfo:
    info: pps.DatumInfo = bench.jobs.InspectDatum(pps.InspectDatumRequest(datum=pps.Datum(id=id, job=of)), timeout=120)
    return info


def test_one_datum(bench: Bench) -> None:
    bench.create()
    id = bench.commit({"/a": b"a"})
    bench.hands().do_one()
    bench.ended(id)
    (info,) = listed(bench, job=job(bench.name, id))
    assert inspect(bench, info.datum.id, job(bench.name, id)) == info
    assert inspect(bench, info.datum.id.upper(), job(bench.name, id)) == info
    assert info.pfs_state.path == f"/pfs/{info.datum.id}"
    assert (info.pfs_state.commit.repo.type, info.pfs_state.commit.id) == ("meta", id)
    nobody = "ab" * 32
    for text, asked in (
        ("must specify a datum", ("", job(bench.name, id))),
        ("must specify a job", (nobody, None)),
        (f"datum {nobody} not found in job default/{bench.name}@{id}", (nobody, job(bench.name, id))),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            inspect(bench, *asked)
        assert (caught.value.details() or "").startswith(text)


def test_datums_of_an_input_have_the_defaults_and_rules_of_a_pipeline(bench: Bench) -> None:
    bench.commit({"/1-x": b"", "/2-x": b"", "/3-y": b""})
    other = replace(bench, source=unique("in"))
    other.files.CreateRepo(pfs.CreateRepoRequest(repo=repo(other.source)))
    other.commit({"/x": b"", "/z": b""})
    keyed = {"name": "b", "glob": "(*)-(*)/", "joinOn": "$2", "groupBy": "$2"}
    beside = leaf(other, name="a", glob="/(*)", joinOn="$1", groupBy="$1")

    def paths(value: dict[str, Any]) -> list[list[str]]:
        return sorted([one.file.path for one in info.data] for info in listed(bench, input=tree(value)))

    assert paths({"join": [leaf(bench, **keyed), beside]}) == [["/x", "/1-x"], ["/x", "/2-x"]]  # sorted by name
    assert sorted(map(sorted, paths({"group": [leaf(bench, **keyed)]}))) == [["/1-x", "/2-x"], ["/3-y"]]
    assert len(paths({"group": [leaf(bench, **keyed), beside]})) == 3
    assert len(paths({"cross": [leaf(bench, **keyed), beside]})) == 6
    assert len(paths({"union": [leaf(bench), leaf(bench), leaf(bench, name="c")]})) == 6
    for value, text in (
        ({"cron": {"name": "c", "spec": "@daily"}}, "can't list datums with a cron input, there will be no datums "),
        ({"cross": []}, "no input set"),
        (leaf(bench, glob=""), "input must specify a glob"),
        ({"cross": [leaf(bench), leaf(bench), leaf(bench, name="out")]}, "input cannot be named out\nname "),
        ({"pfs": {"repo": "dne", "glob": "/"}}, "dne"),
        (leaf(bench, glob="/["), "invalid"),
    ):
        refused(bench, text, input=tree(value))


def test_an_input_that_cannot_be_read_is_invalid(bench: Bench) -> None:
    never = pps.CronInput(name="c", spec="@daily", start=Timestamp(seconds=2**62))
    stub, metadata = InputServiceStub(bench.pps_channel), (("datamill-service-token", bench.token),)
    with pytest.raises(grpc.RpcError, match="invalid input: ") as caught:
        stub.CompleteInput(CompleteInputRequest(input=pps.Input(cron=never)), metadata=metadata, timeout=120)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def created(bench: Bench, *messages: pps.CreateDatumRequest) -> list[pps.DatumInfo]:
    return list(bench.jobs.CreateDatum(iter(messages), timeout=120))


def start(value: dict[str, Any], number: int = 0) -> pps.CreateDatumRequest:
    return pps.CreateDatumRequest(start=pps.StartCreateDatumRequest(input=tree(value), number=number))


def more(number: int = 0) -> pps.CreateDatumRequest:
    return ParseDict({"continue": {"number": number}}, pps.CreateDatumRequest())


def test_datums_are_created_as_they_are_asked_for(bench: Bench) -> None:
    bench.commit({f"/{at:03}": b"" for at in range(150)})
    wanted: Queue[pps.CreateDatumRequest | None] = Queue()
    answers = bench.jobs.CreateDatum(iter(wanted.get, None), timeout=120)
    found = list[str]()
    for number in (10, 5, 20, 0):
        wanted.put(more(number) if found else start(leaf(bench), number))
        found += [next(answers).datum.id for _ in range(number or 100)]
    wanted.put(more(15))  # exactly what is left: the stream ends by itself
    found += ids(list(answers))
    wanted.put(None)
    assert len(found) == 150
    assert sorted(found) == ids(listed(bench, input=tree(leaf(bench))))
    twice = {"cross": [leaf(bench, name="a"), leaf(bench, name="b")]}
    assert len(created(bench, start(twice, 7))) == 7  # the caller hung up
    join = {"join": [leaf(bench, name="a", glob="/(*)", joinOn="$1"), leaf(bench, name="b", glob="/(*)", joinOn="$1")]}
    assert len(created(bench, start(join), more())) == 150
    assert created(bench) == []


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([more(1)], "first message must be a StartCreateDatumRequest message"),
        ([pps.CreateDatumRequest(start=pps.StartCreateDatumRequest())], "first message must specify an input"),
        ([start({"cron": {"name": "c"}})], "can't create datums with a cron input"),
        ([start({"pfs": {"repo": "REPO", "glob": "/*"}}, 1)] * 2, "subsequent messages must be a ContinueCreateDatum"),
        ([start({"pfs": {"repo": "REPO", "glob": "/*"}}, -1)], "number must be non-negative"),
    ],
)
def test_wrong_messages_of_create_datum(bench: Bench, messages: list[pps.CreateDatumRequest], text: str) -> None:
    bench.commit({"/a": b"", "/b": b""})

    def sent() -> Iterator[pps.CreateDatumRequest]:
        for message in messages:
            if message.start.input.pfs.repo:
                message.start.input.pfs.repo = bench.source
            yield message

    with pytest.raises(grpc.RpcError) as caught:
        list(bench.jobs.CreateDatum(sent(), timeout=120))
    assert text in (caught.value.details() or "")
