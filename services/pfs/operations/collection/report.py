"""What a collection found and did."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Packs, and what they take in the store."""

    packs: int = 0
    size_bytes: int = 0

    def add(self, packs: int, size_bytes: int) -> None:
        self.packs += packs
        self.size_bytes += size_bytes


@dataclass
class Report:
    """As upkeep_v1.proto has it."""

    kept: Tally = field(default_factory=Tally)
    unreferenced_content: Tally = field(default_factory=Tally)
    unreferenced_index: Tally = field(default_factory=Tally)
    abandoned: Tally = field(default_factory=Tally)
    rewritten: Tally = field(default_factory=Tally)
    deleted: Tally = field(default_factory=Tally)
    waiting: Tally = field(default_factory=Tally)
    unsettled_packs: int = 0
    expired_file_sets: int = 0
    carried_out_layers: int = 0
