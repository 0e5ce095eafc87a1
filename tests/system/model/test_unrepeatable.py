"""What fails only once is told as it was, and not as Hypothesis finding itself unable to repeat it."""

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.system.model.unrepeatable import Failed, Unrepeatable, rule


def test_a_failure_that_does_not_come_again_is_told() -> None:
    failures = iter(["the ids were unlucky"])

    class Machine(Unrepeatable):
        @rule(number=st.integers())
        def fail_once(self, number: int) -> None:
            for text in failures:
                raise LookupError(text)

        def teardown(self) -> None:
            torn_down.append(self.failed)

    torn_down = list[bool]()
    chosen = settings(
        max_examples=20, database=None, phases=[Phase.generate], verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with pytest.raises(Failed) as failed:
        run_state_machine_as_test(Machine, settings=chosen)
    assert str(failed.value.__cause__) == "the ids were unlucky"
    assert torn_down == [True]
