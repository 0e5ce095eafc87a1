"""What was probably meant by a name that is not there.

Elsewhere: unknown commands (verbs.py), unknown fields of specs (specs/).
"""

import difflib
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

from datamill.client import Client
from datamill.errors import DatamillError

REPO = re.compile(r"\brepo (?P<project>[^/\s]+)/(?P<name>[^/\s.]+) not found")
PIPELINE = re.compile(r'\bpipeline "(?P<project>[^/\s]+)/(?P<name>[^/\s]+)" not found')
ENOUGH = 5_000  # names to look through


def nearest(client: Client, sentence: str) -> str:
    """The name there is that is most like the one that was not found, or ""."""
    with suppress(DatamillError):
        if missing := REPO.search(sentence):
            repos = client.list_repos(projects=[missing["project"]])
            return _near(missing["name"], (info.repo.name for info in repos))
        if missing := PIPELINE.search(sentence):
            pipelines = client.list_pipelines(projects=[missing["project"]])
            return _near(missing["name"], (info.pipeline.name for info in pipelines))
    return ""


def _near(name: str, there: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(islice(there, ENOUGH)), n=1)
    return found[0] if found else ""
