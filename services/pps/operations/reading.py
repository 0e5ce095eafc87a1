"""Looking pipelines up."""

from sqlalchemy.orm import Session

from services.pps.domain.errors import BadSpec, NoSuchVersion, PipelineNotFound
from services.pps.domain.names import PipelineKey, ancestry
from services.pps.domain.pipelines import Pipeline
from services.pps.storage.pipelines import PipelineStore


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


def listing(
    tx: Session, *, only: PipelineKey | None, projects: frozenset[str], history: int, page: tuple[int, int] | None
) -> list[Pipeline]:
    """Pipelines, newest first, each followed by up to `history` older versions (-1: all). page: size and index."""
    store = PipelineStore(tx)
    if only is not None:
        found = [pipeline(tx, only)]
    else:
        found = [one for one in store.all() if not projects or one.key.project in projects]
    result = list[Pipeline]()
    for one in found:
        result.append(one)
        for version in store.older(one.key, below=one.version.number)[: None if history < 0 else history]:
            older = store.pipeline(one.key, number=version.number)
            result += [older] if older else []
    if page is None:
        return result
    size, index = page
    if size < 0 or index < 0:
        raise BadSpec("page size and page index must not be negative")
    return result[size * index : size * (index + 1)] if size else result


def everything(tx: Session) -> list[Pipeline]:
    """All pipelines with the version in force."""
    return PipelineStore(tx).all()
