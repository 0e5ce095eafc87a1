"""Looking pipelines up."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from services.pps.domain.errors import NoSuchVersion, PipelineNotFound
from services.pps.domain.names import PipelineKey, ancestry
from services.pps.domain.pipelines import Pipeline, Version
from services.pps.domain.spec import inputs
from services.pps.domain.spec.inputs import BranchRead
from services.pps.storage.pipelines import PipelineStore

BEYOND = (1 << 31) - 1  # no pipeline has so many versions


def pipeline(tx: Session, key: PipelineKey) -> Pipeline:
    """The pipeline with the version in force, or an older one for "name^2". Raises PipelineNotFound, NoSuchVersion."""
    name, back = ancestry(key.name)
    plain = PipelineKey(key.project, name)
    found = PipelineStore(tx).pipeline(plain)
    if found is None:
        raise PipelineNotFound(key)
    if not back:
        return found
    if back >= found.version.number:
        raise NoSuchVersion(plain, found.version.number, back)
    older = PipelineStore(tx).pipeline(plain, number=found.version.number - back)
    if older is None:
        raise NoSuchVersion(plain, found.version.number, back)
    return older


def followers(tx: Session, keys: Collection[PipelineKey]) -> list[BranchRead]:
    """The branches made for the triggers of these pipelines, by any version, that no other pipeline reads."""
    store, found = PipelineStore(tx), dict[BranchRead, None]()
    for key in keys:
        for version in store.older(key, below=BEYOND):
            found.update(dict.fromkeys(inputs.followers(version.spec.get("input"), key.name)))
    if not found:
        return []
    others = {
        where for one in store.all() if one.key not in keys for where in inputs.branches(one.version.spec.get("input"))
    }
    return [one for one in found if (one.project, one.repo, one.branch) not in others]


def listing(tx: Session, *, only: PipelineKey | None, projects: frozenset[str], history: int) -> list[Pipeline]:
    """Pipelines, newest first, each followed by up to `history` older versions (-1: all)."""
    store = PipelineStore(tx)
    if only is not None:
        found = [pipeline(tx, only)]
    else:
        found = [one for one in store.all() if not projects or one.key.project in projects]
    result = list[Pipeline]()
    for one in found:
        older = store.older(one.key, below=one.version.number) if history else ()
        result += [one, *(replace(one, version=version) for version in older[: None if history < 0 else history])]
    return result


def effective(version: Version) -> dict[str, Any]:
    """A version's spec as it was merged, before it was completed."""
    document: dict[str, Any] = json.loads(version.effective_json)
    return document


def in_force_at(tx: Session, specs: Mapping[PipelineKey, str]) -> list[Pipeline]:
    """Pipelines, newest first, each with the version that made this spec commit; those that have none are left out."""
    store, found = PipelineStore(tx), list[Pipeline]()
    for one in store.all():
        if (commit := specs.get(one.key)) is None:
            continue
        versions = [one.version, *store.older(one.key, below=one.version.number)]
        found += [replace(one, version=version) for version in versions if version.spec_commit == commit]
    return found


def at_work(tx: Session, after: PipelineKey | None, most: int) -> list[Pipeline]:
    """Pipelines that may have workers, by name: neither stopped nor failed. after: the last one of the page before."""
    return PipelineStore(tx).at_work(after, most)


def these_at_work(tx: Session, keys: Collection[PipelineKey]) -> list[Pipeline]:
    """Those of these that may have workers."""
    return PipelineStore(tx).these_at_work(keys)


def everything(tx: Session) -> list[Pipeline]:
    """All pipelines with the version in force."""
    return PipelineStore(tx).all()
