"""A PFS to be killed."""

from tests.support.killable import killable_pfs

__all__ = ["killable_pfs"]
