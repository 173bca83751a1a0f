"""``run_examples.py DOCUMENT URL``: runs a document's Python examples one after the other, as a reader would.

It stands alone, for it also runs where nothing but the client is installed. Prints how many were run.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main(document: str, url: str) -> None:
    examples = re.findall(r"```python\n(.*?)```", Path(document).read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {"__name__": "example"}
    run = 0
    for example in examples:
        if example.startswith("# needs the extra `play`") and not can_play():
            continue
        exec(compile(example.replace("localhost:8001", url), document, "exec"), names)
        run += 1
    print(f"{run} examples were run")


def can_play() -> bool:
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError):  # OSError: PortAudio is not installed
        return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
