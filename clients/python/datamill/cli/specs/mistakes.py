"""What is wrong with a document, and where. Mistakes are collected, so that all of them are told at once."""

from dataclasses import dataclass

from datamill.errors import Invalid


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a line, counted from 1."""

    line: int
    text: str


class Mistaken(Invalid):
    """A document that cannot be taken as it is. lines: what to print, one or more for each mistake."""

    def __init__(self, source: str, mistakes: list[Mistake], after: tuple[str, ...] = ()) -> None:
        """source: what the document is called, for example its file. after: what else is to be said."""
        self.mistakes = tuple(mistakes)
        self.lines = [*(f"{source}:{one.line}: {one.text}" for one in mistakes), *after]
        super().__init__("\n".join(self.lines))
