"""Reading pipeline specs: one or many in a text, each as plain values, and what it says of its own creation.

All mistakes of all specs are told at once, with their lines, before anything is done. What a server alone can know
(whether inputs exist, what defaults say) is the server's. Elsewhere: YAML and JSON (values.py), fields (fields.py).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from datamill.cli.specs import fields, values
from datamill.cli.specs.mistakes import Mistake, Mistaken
from datamill.cli.specs.values import MALFORMED, Placed
from datamill.wire import pps_v2_pb2 as pps

SWITCHES = (("update", "update"), ("reprocess", "reprocess"), ("dryRun", "dry_run"))
SHOWN = 80  # characters of a spec in a sentence about it


@dataclass(frozen=True)
class Read:
    """One spec, and what it says itself about how to create it (None: says nothing)."""

    spec: dict[str, Any]
    update: bool | None = None
    reprocess: bool | None = None
    dry_run: bool | None = None

    @property
    def name(self) -> str:
        return str(self.spec["pipeline"]["name"])


def read(text: str, *, project: str, source: str) -> list[Read]:
    """The specs in a text, in order. project: for specs that say none. source: what the text is called.

    Raises Mistaken with everything that is wrong.
    """
    mistakes: list[Mistake] = []
    unlike: list[Placed] = []
    found = []
    for document in _each(values.documents(text, source, mistakes), mistakes):
        _drop_schema(document)
        said = _said(document, mistakes)
        before = len(mistakes)
        fields.look(document, pps.CreatePipelineRequest.DESCRIPTOR, mistakes)
        if len(mistakes) > before:
            unlike.append(document)
        _look_at_name(document, mistakes)
        found.append((document, said))
    if mistakes:
        raise Mistaken(source, sorted(mistakes, key=lambda one: one.line), tuple(map(_unlike, unlike)))
    return [Read(_with_project(document.plain(), project), *said) for document, said in found]


def message(spec: dict[str, Any]) -> pps.CreatePipelineRequest:
    """A spec that was read, as a message. Raises Mistaken."""
    try:
        return ParseDict(_without_null(spec), pps.CreatePipelineRequest())
    except ParseError as error:
        raise Mistaken("spec", [Mistake(1, str(error))], (_sentence(spec),)) from error


def warnings(spec: dict[str, Any]) -> Iterator[str]:
    """What is allowed and most likely not meant."""
    transform = spec.get("transform")
    if transform is None or (isinstance(transform, dict) and not transform.get("cmd")):
        yield "there is no transform.cmd: unless defaults give one, the pipeline has nothing to run and fails"
    image = transform.get("image") if isinstance(transform, dict) else None
    if not isinstance(image, str) or not image:
        return
    if ":" not in image.rpartition("/")[2]:
        yield f"please specify a tag for the image {image}: without one, it may change between jobs"
    elif image.endswith(":latest"):
        yield f"please do not specify the ':latest' tag for {image}: it may change between jobs"


def _each(documents: list[Placed], mistakes: list[Mistake]) -> Iterator[Placed]:
    """The specs: documents, and items of documents that are lists."""
    for document in documents:
        if isinstance(document.value, dict):
            yield document
        elif isinstance(document.value, list):
            for item in document.value:
                if isinstance(item.value, dict):
                    yield item
                else:
                    mistakes.append(Mistake(item.line, f"{MALFORMED}: expected a mapping"))
        else:
            mistakes.append(Mistake(document.line, f"{MALFORMED}: expected a mapping or a sequence"))


def _said(document: Placed, mistakes: list[Mistake]) -> tuple[bool | None, ...]:
    """Take out what a spec says about its own creation."""
    assert isinstance(document.value, dict)
    result: list[bool | None] = []
    for key, other in SWITCHES:
        given = document.value.pop(key, None)
        given = document.value.pop(other, None) if given is None else given
        value = None if given is None else given.value
        if given is not None and value is not None and not isinstance(value, bool):
            mistakes.append(Mistake(given.line, f"{key} must be a boolean"))
        result.append(value if isinstance(value, bool) else None)
    return tuple(result)


def _look_at_name(document: Placed, mistakes: list[Mistake]) -> None:
    """Whether a spec says which pipeline it is of."""
    assert isinstance(document.value, dict)
    given = document.value.get("pipeline")
    if given is None or given.value is None:
        mistakes.append(Mistake(document.line, "no `pipeline` specified"))
    elif isinstance(given.value, dict) and not ((name := given.value.get("name")) and name.value):
        mistakes.append(Mistake(given.line, "no pipeline `name` specified"))


def _with_project(spec: dict[str, Any], project: str) -> dict[str, Any]:
    given = spec["pipeline"].get("project")
    if not given or (isinstance(given, dict) and not given.get("name")):
        spec["pipeline"]["project"] = {"name": project}
    return spec


def _unlike(document: Placed) -> str:
    return _sentence(document.plain())


def _sentence(spec: dict[str, Any]) -> str:
    text = json.dumps(spec)
    return f"could not unmarshal {text if len(text) <= SHOWN else text[:SHOWN] + '…'} as CreatePipelineRequest"


def _drop_schema(at: Placed) -> None:
    if isinstance(at.value, dict):
        at.value.pop("$schema", None)
    for inner in at.value.values() if isinstance(at.value, dict) else at.value if isinstance(at.value, list) else ():
        _drop_schema(inner)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return [_without_null(inner) for inner in value] if isinstance(value, list) else value
