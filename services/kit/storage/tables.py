"""Which tables a service has."""

import importlib
import pkgutil

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase


def tables_of(storage: str) -> MetaData:
    """The tables of a service: `Base` of its `tables` module, after every module that may add to it is imported."""
    package = importlib.import_module(storage)
    for module in pkgutil.walk_packages(package.__path__, f"{storage}."):
        importlib.import_module(module.name)
    base: type[DeclarativeBase] = importlib.import_module(f"{storage}.tables").Base
    return base.metadata
