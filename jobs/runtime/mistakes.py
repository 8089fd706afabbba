"""Which failures are no fault of the code: of the call, the data, a disk or a server. Each is told in one line."""

from __future__ import annotations

import errno
import re

from peace.core.errors import PeaceError
from peace.core.masking import masked
from peace.core.storage import fault_of

# what is wrong with a folder or a name
OF_A_FOLDER = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


def user_mistake(error: BaseException) -> str | None:
    """What a person is told of an error, also where Ray or a library has wrapped it; None for a fault of ours."""
    seen: BaseException | None = error
    while seen is not None:
        told = str(seen) if isinstance(seen, PeaceError) else _of_the_machine(seen) or _of_a_server(seen)
        told = told or fault_of(seen)
        if told is not None:
            return masked(told)
        seen = getattr(seen, "cause", None) or seen.__cause__
    return None


def _of_the_machine(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for {error.filename or 'the run directory'}: free some and run the same command again"
    if isinstance(error, OSError) and error.errno in OF_A_FOLDER and error.filename:
        return f"cannot write or read {error.filename}: {(error.strerror or '').lower()}"
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        name = re.findall(r"[^\s\"']*[\ud800-\udfff][^\s\"']*", error.object)[0]
        return f"the name {name!a} holds bytes that are not UTF-8: rename it"
    return None


def _of_a_server(error: BaseException) -> str | None:
    """MLflow's and its database's own errors; a registry whose folder is read-only answers so."""
    server = {"mlflow": "MLflow", "sqlalchemy": "MLflow's database", "requests": "a server"}
    who = server.get(type(error).__module__.partition(".")[0])
    if who is None:
        return None
    text = str(error).strip().splitlines() or [""]
    return f"{who} does not take or give it ({type(error).__name__}: {text[0][:300]})"
