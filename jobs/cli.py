"""The `peace` command: one verb a job. `python -m jobs.<verb>` is the same, and is what a Ray job submission runs."""

from __future__ import annotations

import sys

from jobs.runtime.console import guarded, in_utf8
from jobs.runtime.verbs import VERBS, verb_of
from peace.core.errors import nearest


def usage() -> str:
    """The text of `peace --help`."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in VERBS.items())
    return (
        "peace: cross-modal adult-to-pediatric ECG transfer on Ray\n\n"
        f"usage: peace VERB [--out DIR] [--preset debug|demo|paper] [--config FILE] [key=value ...]\n\n{verbs}\n\n"
        "`peace VERB --help` explains a verb. `make demo` runs them all."
    )


def main(argv: list[str] | None = None) -> int:
    """Find the verb and hand it the rest of the line."""
    if argv is None:
        in_utf8()
    return guarded("", lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name = words[0]
    if name not in VERBS:
        print(f"peace: unknown verb '{name}'{nearest(name, VERBS)}\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        from jobs.runtime import harness

        return harness.main(verb_of(name), words[1:])
    except KeyboardInterrupt:  # before the job began
        return 130


if __name__ == "__main__":
    sys.exit(main())
