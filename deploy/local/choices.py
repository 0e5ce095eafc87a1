"""What a user may choose about an instance when starting it, and what cannot be meant."""

import ipaddress
import re
from dataclasses import dataclass

from deploy.local.layout import CannotRun

LOOPBACK = "127.0.0.1"
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:.]+\](:\d{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """port: 0 for any free one; listen: an address of this machine that the gateway is to be reached at, besides the
    loopback; database_url: "" for SQLite; store: "" for a folder; origins: of web pages that may call it from a
    browser."""

    port: int
    listen: str = LOOPBACK
    database_url: str = ""
    store: str = ""
    origins: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises CannotRun for what cannot be meant."""
        try:
            ipaddress.ip_address(self.listen)
        except ValueError:
            raise CannotRun(
                f"--listen {self.listen}: not an IP address; 0.0.0.0 is every address of this machine"
            ) from None
        for origin in self.origins:
            if not ORIGIN.fullmatch(origin):
                raise CannotRun(f"--allow-origin {origin}: not an origin; one is like https://example.org:8080")

    @property
    def beyond(self) -> str:
        """Where other machines reach it; "" when none does."""
        address = ipaddress.ip_address(self.listen)
        return "" if address.is_loopback else str(address)


def reached_at(choices: Choices, port: int) -> str:
    """Where other machines reach the instance; "" when they do not."""
    if not choices.beyond:
        return ""
    return f"[{choices.beyond}]:{port}" if ":" in choices.beyond else f"{choices.beyond}:{port}"


def warning(choices: Choices, port: int) -> str:
    """What to say when others may reach the instance; "" when they may not."""
    if not choices.beyond:
        return ""
    return (
        f"warning: whoever reaches {reached_at(choices, port)} can read, change and delete everything "
        "and run programs here: there is no authentication yet"
    )
