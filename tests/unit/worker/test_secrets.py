"""What of a secret user code gets, and what of it must never leave the worker."""

from datamill.wire import pps_v2_pb2 as pps
from services.worker.peers.secrets import striker, variables
from services.worker.process.environment import as_file


def test_values_are_struck_out_whole_and_line_by_line() -> None:
    strike = striker(
        [b"correct horse", b"-----BEGIN-----\nabcdefgh\n-----END-----\n", b"short", b"a.b*c+d", b"horse battery"]
    )
    assert strike("the password is correct horse!") == "the password is ***!"
    assert strike("abcdefgh") == "***"
    assert strike("short %s {} is kept") == "short %s {} is kept"
    assert strike("a.b*c+d axb*c+d") == "*** axb*c+d", "values are no patterns"
    assert striker([b"short"])("short") == "short"


def test_the_longest_value_is_struck_first() -> None:
    assert striker([b"secret", b"secret-and-more"])("secret-and-more secret") == "*** ***"


def test_variables_are_for_the_process_and_not_for_its_file() -> None:
    mounts = [pps.SecretMount(name="db", key="k", env_var="PASSWORD"), pps.SecretMount(name="db", mount_path="/s")]
    found = variables(mounts, {"db": {"k": b"correct horse"}})
    assert found == {"PASSWORD": "correct horse"}
    assert "correct" not in repr(found)
    merged = {"A": "1", **found}
    assert as_file(merged.items()) == b"A=1\n"
