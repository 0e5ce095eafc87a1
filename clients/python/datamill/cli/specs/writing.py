"""Values as YAML, as the reader here reads them back (values.py)."""

import re
from typing import Any

import yaml

from datamill.cli.specs.values import untagged

BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")  # line breaks to YAML, which only quotes keep


class _Writer(yaml.SafeDumper):
    """Texts of several lines as blocks, ones that look like something else in quotes, no references."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if BREAKS.search(text) or not _plain(text):
        style: str | None = '"'
    else:
        style = "|" if "\n" in text else None
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _plain(text: str) -> bool:
    try:
        return untagged(text) == text
    except ValueError:
        return False


_Writer.add_representer(str, _text)


def written(value: object) -> str:
    """One document, without its marker; fields in the order in which they come."""
    return str(yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=1000))
