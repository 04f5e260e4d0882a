"""One cell of the matrix, in a process of its own: prints what came of it as one line of JSON.

python -m scripts.convert.matrix_cell MODEL FORMAT GIBIBYTES MEANS
"""

from __future__ import annotations

import json
import resource
import sys


def main(model: str, format: str, gibibytes: str, means: str) -> None:
    most = int(gibibytes) << 30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    from benchmarks import measuring
    from scripts.convert.matrix import FORMATS, outcome
    from scripts.convert.matrix_programs import Means

    found = outcome(model, FORMATS[format], Means.from_json(means))
    print(json.dumps(found | {"memory": measuring.peak_memory()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
