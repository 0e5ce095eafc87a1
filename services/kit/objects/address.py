"""Where an object store is, as one text: "file:///folder" or "s3://host:port/bucket/prefix?region=…&secure=…".

A plain absolute path is a folder too. Without a host an S3 store is Amazon's: "s3:///bucket?region=eu-west-1".
patience=SECONDS says how long a call waits for a store that is away.
Credentials are never part of the address: an address is shown and logged. They come from AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or from the file ~/.aws/credentials.
Elsewhere: the drivers (local.py, s3.py), which one an address means (opening.py).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

ACCESS_KEY, SECRET_KEY, SESSION_TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
CREDENTIALS = (ACCESS_KEY, SECRET_KEY, SESSION_TOKEN)
PATIENCE_SECONDS = 20.0
AMAZON = "s3.amazonaws.com"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9/_.-]*")
_SECONDS = re.compile(r"\d{1,5}(\.\d{1,3})?")
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class BadAddress(ValueError):
    """The text names no store; it says why."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A store in a folder of this machine."""

    path: Path

    def __str__(self) -> str:
        return self.path.as_uri()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A store in a bucket. prefix: "" or ends with a slash; region: "" when the store is to be asked for it."""

    endpoint: str  # "host" or "host:port"
    name: str
    prefix: str = ""
    region: str = ""
    secure: bool = True
    patience: float = PATIENCE_SECONDS  # callers of a service wait for a minute at most

    def __str__(self) -> str:
        return f"s3://{self.endpoint}/{self.name}/{self.prefix}".rstrip("/")


def parse(text: str) -> Folder | Bucket:
    """Raises BadAddress."""
    if text.startswith("/"):
        return Folder(Path(text))
    url = urlsplit(text)
    match url.scheme:
        case "file":
            if url.netloc or not url.path.startswith("/"):
                raise BadAddress(f"{text!r}: a folder is written file:///with/its/whole/path")
            return Folder(Path(unquote(url.path)))
        case "s3":
            if "@" in url.netloc:
                raise BadAddress(
                    f"the store's address must not hold credentials: set {ACCESS_KEY} and {SECRET_KEY} instead"
                )
            return _bucket(text)
        case _:
            raise BadAddress(f"{text!r} is no store: write file:///folder or s3://host:port/bucket/prefix")


def _bucket(text: str) -> Bucket:
    url = urlsplit(text)
    name, _, prefix = url.path.strip("/").partition("/")
    if not _BUCKET.fullmatch(name):
        raise BadAddress(f"{text!r} names no bucket: write s3://host:port/bucket/prefix (s3:///bucket for Amazon's)")
    if not _PREFIX.fullmatch(prefix) or ".." in prefix.split("/"):
        raise BadAddress(f"{text!r}: a prefix is made of letters, digits and /_.-")
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    region, secure = options.pop("region", ""), options.pop("secure", "true").lower()
    patience = options.pop("patience", str(PATIENCE_SECONDS))
    if options:
        raise BadAddress(f"{text!r}: there is no option {min(options)!r}; there are region, secure and patience")
    if secure not in _WORDS:
        raise BadAddress(f"{text!r}: secure is true or false")
    if not _SECONDS.fullmatch(patience):
        raise BadAddress(f"{text!r}: patience is a number of seconds")
    return Bucket(url.netloc or AMAZON, name, f"{prefix}/" if prefix else "", region, _WORDS[secure], float(patience))
