"""PFS and a small model of it never differ, whatever several clients do and whenever PFS is killed.

MODEL_EXAMPLES and MODEL_STEPS ask for more, MODEL_SEED for others (0: others every time):
`MODEL_EXAMPLES=200 MODEL_SEED=0 pytest tests/system/model`.
"""

import os

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.support.killable import KillablePfs
from tests.system.model.machine import Machine
from tests.system.model.unrepeatable import Failed

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "4"))
STEPS = int(os.environ.get("MODEL_STEPS", "30"))
SEED = int(os.environ.get("MODEL_SEED", "20260101"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
)


def test_pfs_and_the_model_never_differ(killable_pfs: KillablePfs) -> None:
    def machine() -> RuleBasedStateMachine:
        return Machine(killable_pfs)

    chosen = seed(SEED)(machine) if SEED else machine
    try:
        run_state_machine_as_test(chosen, settings=SETTINGS)  # type: ignore[arg-type]  # any callable that makes one
    except Failed as failed:
        raise AssertionError from failed.__cause__
