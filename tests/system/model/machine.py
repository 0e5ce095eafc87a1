"""Random steps of several clients, each told to the model and asked of a PFS that is killed now and then.

After each step everything that changed is compared, and all there is after a kill and at the end. A step whose answer
was lost by a kill was carried out as a whole or not at all: one of the two models must be what is found.
Elsewhere: steps (steps.py, writes.py); which is next (choosing.py); comparing (looking.py); settings (test_model.py).
"""

import threading
import time
from itertools import count
from random import Random

import grpc
from hypothesis import strategies as st

from datamill.wire import pfs_v2_pb2 as pfs
from tests.support.killable import KillablePfs
from tests.support.servers import unique
from tests.system.model.choosing import FOLDERS, PATTERNS, REPOS, Choice
from tests.system.model.looking import Files, differences, expected, observed
from tests.system.model.model import Blocks, Commit, Model, Name, Refused
from tests.system.model.steps import Api, ClearCommit, CreateBranch, CreateRepo, Step
from tests.system.model.unrepeatable import Unrepeatable, final, initialize, rule
from tests.system.model.writes import AddFileSet, file_set_of, total_of

ENTROPY = st.integers(0, 2**48)
KILL_ONE_IN = 2
SETTLED_SECONDS = 90.0
LOST = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
NOBODY = "no such id"


class Machine(Unrepeatable):
    """One project, from its creation until all its repos are deleted."""

    def __init__(self, killable_pfs: KillablePfs) -> None:
        super().__init__()
        self.pfs, self.model, self.files = killable_pfs, Model(), Files()
        self._project, self._turns = unique("model"), count()
        self._checked: dict[Name, object] = {}
        self.history: list[str] = []
        self.api().pfs.CreateProject(pfs.CreateProjectRequest(project=self.api().project))

    def api(self) -> Api:
        """Each time another client."""
        channels = self.pfs.channels
        return Api(channels[next(self._turns) % len(channels)], self._project)

    def _choice(self, entropy: int) -> Choice:
        return Choice(self.model, Random(entropy))

    @initialize(derived=st.booleans())
    def make_repos(self, derived: bool) -> None:
        """So that most steps find something; a repo is still missing now and then."""
        for repo in REPOS[:-1]:
            self.take(CreateRepo(repo))
        if derived:
            self.take(CreateBranch(("b", "master"), (("a", "master"),)))
            self.take(CreateBranch(("c", "master"), (("b", "master"),)))

    @rule(entropy=ENTROPY, kind=st.sampled_from(("start", "finish", "create_branch", "batch")))
    def change_refs(self, entropy: int, kind: str) -> None:
        self.take(getattr(self._choice(entropy), kind)())

    @rule(entropy=ENTROPY, kind=st.sampled_from(("delete_ref", "create_repo", "squash_or_drop", "squash_or_drop")))
    def delete(self, entropy: int, kind: str) -> None:
        self.take(getattr(self._choice(entropy), kind)())

    @rule(entropy=ENTROPY)
    def start_and_write(self, entropy: int) -> None:
        self.take(self._choice(entropy).start())
        self.take(self._choice(entropy + 1).modify())

    @rule(entropy=ENTROPY, kind=st.sampled_from(("modify", "modify", "one_shot")))
    def write(self, entropy: int, kind: str) -> None:
        self.take(getattr(self._choice(entropy), kind)())

    @rule(entropy=ENTROPY)
    def finish_one(self, entropy: int) -> None:
        self.take(self._choice(entropy).finish())

    @rule(entropy=ENTROPY)
    def clear(self, entropy: int) -> None:
        choice = self._choice(entropy)
        commit = choice.commit(lambda commit: bool(commit.layers) and not commit.closed)
        if commit is not None and choice.rarely(4):  # else nothing ever grows
            self.take(ClearCommit(commit.name))

    @rule(entropy=ENTROPY)
    def use_file_set(self, entropy: int) -> None:
        """Make one, of writes or of a commit, and add it or an older one to a commit."""
        choice = self._choice(entropy)
        commit = choice.commit() if choice.rarely(2) else None
        try:
            if commit is not None:
                id, effects = total_of(self.api(), self.model, commit.name)
            else:
                id, effects = file_set_of(self.api(), self.model, choice.writes())
        except (Refused, Blocks):
            return
        self.model.file_sets[id] = effects
        if (target := choice.commit(lambda commit: not commit.closed)) is not None:
            self.take(AddFileSet(target.name, choice.rng.choice(sorted(self.model.file_sets))))

    @rule(entropy=ENTROPY, folder=st.sampled_from(FOLDERS), pattern=st.sampled_from(PATTERNS))
    def look(self, entropy: int, folder: str, pattern: str) -> None:
        choice = self._choice(entropy)
        one, other = choice.commit(), choice.commit()
        if one is not None and other is not None:
            try:
                self.files.list(self.api(), self.model, one, folder, pattern)
                self.files.compare(self.api(), self.model, one, other)
            except AssertionError as error:
                raise AssertionError(self._said(str(error))) from error

    @rule(entropy=ENTROPY, milliseconds=st.integers(0, 30))
    def be_killed(self, entropy: int, milliseconds: int) -> None:
        """Killed while a step is taken, one time in KILL_ONE_IN that this is drawn: starting again takes its time."""
        choice = self._choice(entropy)
        if choice.rarely(KILL_ONE_IN):
            kinds = [choice.modify, choice.one_shot, choice.finish, choice.start, choice.squash_or_drop, choice.batch]
            self.take(choice.rng.choice(kinds)(), killed_after=milliseconds / 1000)

    def take(self, step: Step, killed_after: float | None = None) -> None:
        """Tell, ask, compare."""
        try:
            refused = ""
            self.model.changed(step.tell, NOBODY)
        except Refused as why:
            refused = str(why)
        except Blocks:
            return
        self.history.append(f"{step}" + (f" killed after {killed_after} s" if killed_after is not None else ""))
        error = _asked(step, self.api()) if killed_after is None else self._killed(step, killed_after)
        if error is None:
            assert not refused, self._said(f"it was done, and not refused with {refused!r}")
            self._changed(step)
        elif error.code() in LOST and killed_after is not None:
            self._lost(step, refused)
        else:
            text = error.details() or ""
            assert refused, self._said(f"{error.code()} {text!r}, not done")
            assert refused in text, self._said(f"{error.code()} {text!r}, not {refused!r}")
            self.compare()

    def _killed(self, step: Step, after: float) -> grpc.RpcError | None:
        errors: list[grpc.RpcError | None] = []
        calling = threading.Thread(target=lambda: errors.append(_asked(step, self.api())))
        calling.start()
        time.sleep(after)  # the moment is the point: any is a good one
        self.pfs.kill()
        calling.join()
        self.pfs.restart()
        self._checked.clear()
        return errors[0]

    def _fresh(self) -> str:
        """The id of commits that the model does not know; one that means nothing when there are none."""
        known = set(self.model.commits)
        fresh = {id for repo, id in observed(self.api(), self.model).commits if (repo, id) not in known}
        assert len(fresh) < 2, self._said(f"one change made commits of several sets: {fresh}")
        return fresh.pop() if fresh else NOBODY

    def _changed(self, step: Step) -> None:
        self.model = self.model.changed(step.tell, self._fresh())
        self.compare()

    def _lost(self, step: Step, refused: str) -> None:
        """Nobody knows whether the step was taken: the model is the one that fits."""
        if refused:
            self.compare()
            return
        before, told = self.model, self.model.changed(step.tell, self._fresh())
        try:
            self.compare()
        except AssertionError:
            self.model = told
            self.compare()
            self.history.append("  (taken)")
            return
        for name, commit in before.commits.items():
            # The same is seen either way, but what was written may count later: nobody may ask for that.
            if name in told.commits and told.commits[name].layers != commit.layers:
                self.take(ClearCommit(name))

    def compare(self) -> None:
        """Everything but files, and the files of commits that look different since they were compared."""
        wanted, deadline = expected(self.model), time.monotonic() + SETTLED_SECONDS
        while found := differences(wanted, observed(self.api(), self.model)):
            settles = any("finished=False" in text for text in found) and time.monotonic() < deadline
            assert settles, self._said("\n".join(found))
        for commit in self.model.commits.values():
            now = self._state_of(commit)
            if self._checked.get(commit.name) != now:
                try:
                    self.files.check(self.api(), self.model, commit)
                except AssertionError as error:
                    raise AssertionError(self._said(str(error))) from error
                self._checked[commit.name] = now

    def _state_of(self, commit: Commit) -> object:
        try:
            return commit.finished, len(commit.layers), self.model.view(commit)
        except (Refused, Blocks) as why:
            return repr(why)

    def _said(self, what: str) -> str:
        told = "\n".join(line for line in self.pfs.log.splitlines() if "INFO" not in line)[-3000:]
        return f"{what}\nafter:\n" + "\n".join(self.history) + f"\nPFS said:\n{told}"

    @final
    def teardown(self) -> None:
        if self.failed:
            return
        self._checked.clear()
        self.compare()
        request = pfs.DeleteReposRequest(projects=[self.api().project], force=True)
        self.api().pfs.DeleteRepos(request)
        self.model = Model()
        self.compare()


def _asked(step: Step, to: Api) -> grpc.RpcError | None:
    try:
        step.ask(to)
    except grpc.RpcError as error:
        return error
    return None
