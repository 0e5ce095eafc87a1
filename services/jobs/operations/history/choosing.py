"""Which records somebody wants to see, by labels, text and level. Regular expressions are RE2's: none of them hangs.

Elsewhere: whose lines (domain/logs/queries.py); in what order (paging.py).
"""

from collections.abc import Callable, Sequence

import re2

from services.jobs.domain.errors import BadRequest
from services.jobs.domain.logs.records import Level, Record
from services.jobs.domain.logs.selectors import Clause

Choice = Callable[[Record], bool]


def by_tests(tests: Sequence[Clause]) -> Choice:
    """Raises BadRequest for an expression that cannot be read."""
    return _all([_by_test(test) for test in tests])


def by_text(pattern: str, *, negated: bool) -> Choice:
    """Lines in whose text the pattern is found. Raises BadRequest."""
    expression = _compiled(pattern)
    return lambda record: (expression.search(record.text) is not None) is not negated


def by_level(least: Level) -> Choice:
    return lambda record: record.level >= least


def every(*choices: Choice) -> Choice:
    return _all(choices)


def _all(choices: Sequence[Choice]) -> Choice:
    return lambda record: all(choice(record) for choice in choices)


def _by_test(test: Clause) -> Choice:
    if test.pattern:
        expression = _compiled(test.text)
        if test.label:
            return lambda record: (
                (expression.fullmatch(record.labels.get(test.label, "")) is not None) is not test.negated
            )
        return lambda record: (expression.search(record.raw) is not None) is not test.negated
    if test.label:
        return lambda record: (record.labels.get(test.label, "") == test.text) is not test.negated
    return lambda record: (test.text in record.raw) is not test.negated


def _compiled(text: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0] if error.args else ""
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)
        raise BadRequest(f"cannot read the regular expression: {said}") from error
