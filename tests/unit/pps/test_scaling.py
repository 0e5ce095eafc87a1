"""How many workers a pipeline with autoscaling has."""

from datetime import timedelta

import pytest

from services.pps.domain.scaling import LINGER, Demand, workers

NO_TIME = timedelta()


@pytest.mark.parametrize(
    ("demand", "there", "idle", "wanted"),
    [
        (Demand(), 0, NO_TIME, 0),
        (Demand(1, 1), 0, NO_TIME, 1),
        (Demand(3, 1), 1, NO_TIME, 3),
        (Demand(50, 1), 0, NO_TIME, 4),
        (Demand(1, 1), 4, NO_TIME, 4),  # nobody is sent away while there is work
        (Demand(0, 1), 0, NO_TIME, 0),  # a job that waits for its inputs wakes nobody
        (Demand(0, 2), 2, NO_TIME, 2),  # the next job is for those that are there
        (Demand(0, 2), 2, LINGER, 0),
        (Demand(0, 0), 4, NO_TIME, 0),
    ],
)
def test_workers(demand: Demand, there: int, idle: timedelta, wanted: int) -> None:
    assert workers(demand, there=there, most=4, idle=idle) == wanted
