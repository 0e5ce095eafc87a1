"""Times and durations of messages as Python's: a message can hold what no calendar has."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.errors import Invalid


def time_of(message: Timestamp) -> datetime:
    """In UTC. Raises Invalid for what is no time of the years 1 to 9999."""
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"not a time: {message.seconds} seconds and {message.nanos} nanoseconds") from error


def span_of(message: Duration) -> timedelta:
    """Raises Invalid for what is no duration, or too long for one."""
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise Invalid(f"not a duration: {message.seconds} seconds and {message.nanos} nanoseconds") from error
