"""The collector's protocol (docs/adr/0009), small enough to try every order of events.

Two writers in processes of their own, one pack that both may find in a commit or be told of by their caller, a pack
of each writer's own, commits that are deleted, sessions that run out, and two collections, which may rewrite the first
pack: then another one stands for it. Nothing that counts may refer to a pack that is gone, and neither may a call that
is still running, nor to one whose stand-in its process does not know; without any one of the guards something does.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pytest

WRITING, LIVE, DYING, GONE = "writing", "live", "dying", "gone"
MOVING, MOVED = "moving", "moved"  # another pack stands for it, and its object is there still, or is deleted
SHARED = 0  # the pack of the first commit; pack i belongs to writer i
STANDS_IN = 3  # what the first pack was rewritten to
GUARDS = ("wait before marking", "graves", "live at publishing", "in use", "fence", "own packs", "a collection later")


@dataclass(frozen=True)
class Writer:
    step: Literal["idle", "running", "done"] = "idle"
    tag: int = 0  # the epoch that its process knew of when it began
    held: frozenset[int] = frozenset()  # found in a commit
    told: bool = False  # whether its caller named the shared pack
    seen: int = 0  # the epoch that its process knows of
    quiet: int = 0  # as its process last wrote it down: nothing older is running
    knows: bool = False  # that the first pack was rewritten
    out: bool = False  # the session's lease ran out
    fenced: bool = False  # the collector has taken the session away


@dataclass(frozen=True)
class State:
    epoch: int = 0
    packs: tuple[str, ...] = (LIVE, WRITING, WRITING, GONE)
    used: int = -1  # the epoch in which a caller last named the shared pack, or it was rewritten
    roots: tuple[frozenset[int] | None, ...] = (frozenset({SHARED}), None, None)
    graves: frozenset[int] = frozenset()
    writers: tuple[Writer, Writer] = (Writer(), Writer())
    collector: Literal["idle", "waiting", "marked", "condemned"] = "idle"
    candidates: frozenset[int] = frozenset()
    runs: int = 0

    def pack(self, number: int, state: str) -> "State":
        return replace(self, packs=(*self.packs[:number], state, *self.packs[number + 1 :]))

    def writer(self, index: int, **changed: object) -> "State":
        one = replace(self.writers[index], **changed)  # type: ignore[arg-type]
        return replace(self, writers=(one, self.writers[1]) if index == 0 else (self.writers[0], one))

    def root(self, number: int, packs: frozenset[int] | None) -> "State":
        return replace(self, roots=(*self.roots[:number], packs, *self.roots[number + 1 :]))


def trouble(state: State) -> str | None:
    gone = {number for number, pack in enumerate(state.packs) if pack == GONE} - {STANDS_IN}
    if state.packs[SHARED] == MOVED and state.packs[STANDS_IN] == GONE:
        gone |= {SHARED}
    for number, packs in enumerate(state.roots):
        if packs and packs & gone:
            return f"commit {number} refers to a pack that is gone"
    for writer in state.writers:
        lost = gone | ({SHARED} if state.packs[SHARED] == MOVED and not writer.knows else set[int]())
        if writer.step == "running" and not writer.fenced and writer.held & lost:
            return "a running call refers to a pack that is gone"
    return None


DONE = {
    "step": "done",
    "tag": 0,
    "held": frozenset(),
    "told": False,
    "seen": 0,
    "quiet": 0,
    "knows": False,
    "out": True,
    "fenced": False,
}
"""Nothing of a call that has ended matters any more."""


def after(state: State, without: str) -> Iterator[State]:
    for number, packs in enumerate(state.roots):
        if packs is not None:
            buried = state.graves if without == "graves" else state.graves | packs
            yield replace(state, graves=buried).root(number, None)
    for index in (0, 1):
        yield from of_writer(state, index, without)
    yield from of_collector(state, without)


def of_writer(state: State, index: int, without: str) -> Iterator[State]:
    writer, own = state.writers[index], index + 1
    if writer.step == "idle":
        yield state.writer(index, step="running", tag=writer.seen)
    if writer.step == "running":
        for packs in state.roots:
            if packs and not packs <= writer.held:
                yield state.writer(index, held=writer.held | packs)
        if index == 0 and not writer.told and state.packs[SHARED] == LIVE:
            yield state.writer(index, told=True)
        yield from publishing(state, index, own, without)
        yield state.writer(index, **DONE)
    if writer.step != "done":
        quiet = min(writer.tag, state.epoch) if writer.step == "running" else state.epoch
        knows = state.packs[SHARED] in (MOVING, MOVED)
        if (writer.seen, writer.quiet, writer.knows) != (state.epoch, quiet, knows):
            yield state.writer(index, seen=state.epoch, quiet=quiet, knows=knows)
        if not writer.out:
            yield state.writer(index, out=True)


def publishing(state: State, index: int, own: int, without: str) -> Iterator[State]:
    writer = state.writers[index]
    if writer.fenced and without != "fence":
        return
    done = state.writer(index, **DONE)
    if writer.told:
        if state.packs[SHARED] != LIVE and without != "live at publishing":
            return
        done = replace(done, used=state.epoch)
    held = writer.held | ({SHARED} if writer.told else frozenset[int]())
    if held:
        yield done.root(own, held)  # nothing of its own
    if state.packs[own] == WRITING or without == "fence":
        live = done if state.packs[own] == GONE else done.pack(own, LIVE)
        yield live.root(own, held | {own})


def of_collector(state: State, without: str) -> Iterator[State]:
    quiet = all(one.fenced or one.step == "done" or one.quiet >= state.epoch for one in state.writers)
    if state.collector == "idle" and state.runs < 2:
        yield replace(fenced(state), epoch=state.epoch + 1, graves=frozenset(), collector="waiting")
    if state.collector == "waiting" and (again := fenced(state)) != state:
        yield again
    if state.collector == "waiting" and (quiet or without == "wait before marking"):
        reached = state.graves.union(*(packs for packs in state.roots if packs))
        may_go = {LIVE, WRITING} if without == "own packs" else {LIVE}
        reached |= {STANDS_IN} if SHARED in reached else set()
        left = {number for number, pack in enumerate(state.packs) if pack in may_go and number not in reached}
        if state.packs[SHARED] == MOVED and SHARED not in reached:
            left |= {SHARED}  # nothing names it: its row can go
        yield replace(state, collector="marked", candidates=frozenset(left))
    if state.collector == "marked":
        condemned = replace(state, collector="condemned", candidates=frozenset())
        for number in state.candidates:
            if number != SHARED or state.used < state.epoch or without == "in use":
                condemned = condemned.pack(number, GONE if state.packs[number] == MOVED else DYING)
        yield condemned
        if SHARED not in state.candidates and state.packs[SHARED] == LIVE and state.used < state.epoch:
            moved = condemned.pack(SHARED, MOVING).pack(STANDS_IN, LIVE)
            yield replace(moved, used=state.epoch)
    if state.collector == "condemned":  # nobody can hold one of these any more: there is nothing to wait for
        packs = tuple(GONE if pack == DYING else pack for pack in state.packs)
        if packs[SHARED] == MOVING and (state.used < state.epoch or without == "a collection later"):
            packs = (MOVED, *packs[1:])
        yield replace(state, packs=packs, collector="idle", runs=state.runs + 1)


def fenced(state: State) -> State:
    """Sessions whose lease ran out are taken away, and what they were writing is given up."""
    for index, writer in enumerate(state.writers):
        if writer.out and not writer.fenced and writer.step != "done":
            state = state.writer(index, fenced=True)
            if state.packs[index + 1] == WRITING:
                state = state.pack(index + 1, DYING)
    return state


def explored(without: str = "") -> tuple[int, str | None]:
    """How many states there are, and the first trouble that is found."""
    start = State()
    known, waiting = {start}, deque([start])
    while waiting:
        for state in after(waiting.popleft() if without else waiting.pop(), without):
            if state in known:
                continue
            if (found := trouble(state)) is not None:
                return len(known), found
            known.add(state)
            waiting.append(state)
    return len(known), None


def test_no_order_of_events_leaves_a_reference_to_a_pack_that_is_gone() -> None:
    count, found = explored()
    assert found is None
    assert count > 10_000


@pytest.mark.parametrize("guard", GUARDS)
def test_without_any_one_guard_some_order_does(guard: str) -> None:
    _, found = explored(without=guard)
    assert found is not None
