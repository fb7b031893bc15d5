"""A driver of a pool in a process of its own: python driver.py TIMEOUT TASK..., each task a Python expression."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

if __name__ == "__main__":
    from codecbench.bench.executor import Failure
    from codecbench.bench.pool import Pool
    from faults import misdeeds

    timeout, *tasks = sys.argv[1:]
    with Pool(2, float(timeout)) as pool:
        for task, value in pool.results([eval(task, vars(misdeeds)) for task in tasks]):
            told = [value.kind, value.stage] if isinstance(value, Failure) else value
            sys.stdout.write(json.dumps([type(task).__name__, told]) + "\n")
            sys.stdout.flush()
