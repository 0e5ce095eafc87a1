"""URLs on the command line, against a PFS of its own."""

from collections.abc import Iterator

import pytest

from tests.support.command_line import CommandLine
from tests.support.servers import SERVING, running, service_command, settings, unique


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, nats_url: str, service_token: str) -> Iterator[CommandLine]:
    folder = tmp_path_factory.mktemp("urls")
    env = settings("pfs", folder, nats_url=nats_url, token=service_token) | {"PFS_URL_FOLDERS": str(folder / "open")}
    (folder / "open/in/deep").mkdir(parents=True)
    (folder / "open/in/one").write_text("1")
    (folder / "open/in/deep/two").write_text("2")
    with running(service_command("pfs"), env=env, ready=SERVING) as found:
        yield CommandLine(folder, f"grpc://{found[1]}")


@pytest.fixture
def repo(line: CommandLine) -> str:
    name = unique("repo")
    line.ok("create", "repo", name)
    return name


def paths(line: CommandLine, repo: str) -> list[str]:
    found = line.ok("list", "file", f"{repo}@master", "-r", "--raw").objects
    return [one["file"]["path"] for one in found if not one["file"]["path"].endswith("/")]


def test_what_a_url_holds_is_put_and_replaced(line: CommandLine, repo: str) -> None:
    url = f"file://{line.folder}/open/in/one"
    for _ in range(2):
        line.ok("put", "file", f"{repo}@master", "-f", url)
    line.ok("put", "file", f"{repo}@master:/named", "-f", url)
    line.ok("put", "file", f"{repo}@master:/named", "-f", url, "-a")
    line.ok("put", "file", f"{repo}@master:/all", "-r", "-p", "4", "-f", f"file://{line.folder}/open/in/")
    assert paths(line, repo) == ["/all/deep/two", "/all/one", "/named", "/one"]
    assert line.ok("get", "file", f"{repo}@master:/one").out == "1"
    assert line.ok("get", "file", f"{repo}@master:/named").out == "11"


def test_a_list_names_what_to_put(line: CommandLine, repo: str) -> None:
    (line.folder / "local").write_text("3")
    text = f"# a list\n\nlocal\nfile://{line.folder}/open/in/one\n"
    line.ok("put", "file", f"{repo}@master:/d", "-i", "-", stdin=text)
    (line.folder / "list").write_text(text)
    line.ok("put", "file", f"{repo}@master", "-i", "list", "--full-path")
    assert paths(line, repo) == ["/d/local", "/d/one", "/local", f"{line.folder}/open/in/one"]
    missing = line.run("put", "file", f"{repo}@master", "-i", "none")
    assert (missing.code, "there is no file none" in missing.err) == (2, True)


def test_files_are_written_to_a_url(line: CommandLine, repo: str) -> None:
    line.ok("put", "file", f"{repo}@master:/d/a", stdin="1")
    line.ok("put", "file", f"{repo}@master:/d/b", stdin="2")
    out = line.folder / "open" / unique("out")
    line.ok("get", "file", f"{repo}@master:/d/a", "-o", f"file://{out}")
    assert (out / "d/a").read_text() == "1"
    line.ok("get", "file", f"{repo}@master:/d", "-r", "-o", f"file://{out}/x")
    line.ok("get", "file", f"{repo}@master:/**b", "-o", f"file://{out}/y")
    assert (out / "x/d/b").read_text() == (out / "y/d/b").read_text() == "2"
    assert not (out / "y/d/a").exists()


def test_refusals_are_told(line: CommandLine, repo: str) -> None:
    line.ok("put", "file", f"{repo}@master:/a", stdin="1")
    for args, why in [
        (("put", "file", f"{repo}@master", "-f", "file:///etc/hostname"), "PFS_URL_FOLDERS"),
        (("put", "file", f"{repo}@master", "-f", "gs://bucket/x"), "no driver for gs"),
        (("get", "file", f"{repo}@master:/a", "-o", "file:///etc/a"), "PFS_URL_FOLDERS"),
        (("get", "file", f"{repo}@master:/a", "-o", "ftp://x/a"), "unrecognized object store: ftp"),
    ]:
        done = line.run(*args)
        assert done.code == 1
        assert why in done.err


def test_files_are_copied_and_deleted(line: CommandLine, repo: str) -> None:
    line.ok("put", "file", f"{repo}@master:/d/a", stdin="1")
    line.ok("copy", "file", f"{repo}@master:/d", f"{repo}@other:/e")
    line.ok("copy", "file", f"{repo}@master:/d/a", f"{repo}@other:/e/a", "-a")
    assert line.ok("get", "file", f"{repo}@other:/e/a").out == "11"
    kept = line.run("delete", "file", f"{repo}@master:/d")
    assert (kept.code, "is a directory. Use -r" in kept.err) == (2, True)
    assert paths(line, repo) == ["/d/a"]
    line.ok("delete", "file", f"{repo}@master:/d", "-r")
    assert "nothing at" in line.run("list", "file", f"{repo}@master").err
