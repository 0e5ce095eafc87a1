"""Which requests of browsers are refused: those that pages of other sites make.

Whoever reaches the instance may read it, and so could every page that a user of the same machine opens. Programs send
neither header and pass. A link that somebody follows is no such request: its page does not see the answer.
Sources: Fetch Metadata Request Headers (W3C); RFC 6454 (Origin).
"""

from collections.abc import Mapping

OWN = ("same-origin", "none")


def is_foreign(headers: Mapping[str, str], allowed: frozenset[str]) -> bool:
    """allowed: origins such as "https://example.org:8080", whose pages may ask."""
    origin = headers.get("Origin")
    if origin is not None:
        return origin not in allowed and origin.partition("://")[2].lower() != headers.get("Host", "").lower()
    return headers.get("Sec-Fetch-Site", "none") not in OWN and not _followed(headers)


def _followed(headers: Mapping[str, str]) -> bool:
    """Whether somebody goes to this address in a window of its own."""
    return headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
