"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: str | Path, content: bytes | str) -> Path:
    """Write beside `path`, sync, then rename over it: no reader, and no crash, ever sees a part. Returns the path.

    Raises:
        OSError: the folder cannot be written or the disk is full; an older file stays as it was.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:  # an interrupt, too, leaves nothing behind
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
