"""Write data as the hub has it, read it, and print what was read or said: `[split or None]` in, JSON out."""

import json
import sys
from pathlib import Path

import pyarrow
from pyarrow import parquet

from poise.data import read_rows
from poise.errors import DataError

if __name__ == "__main__":
    root = Path(sys.argv[1])
    (root / "data").mkdir()
    for name, first in (("train-00000-of-00002", 0), ("train-00001-of-00002", 3), ("test-00000-of-00001", 6)):
        rows = [{"prompt": f"{number} + 1 =", "answer": number + 1} for number in range(first, first + 3)]
        parquet.write_table(pyarrow.Table.from_pylist(rows), root / "data" / f"{name}.parquet")
    (root / "broken.parquet").write_bytes(b"PAR1 it is not")
    found = []
    for path, reference in (
        (root, "hf:org/sums?split=train"),
        (root, "hf:org/sums?split=train[-2:]"),
        (root, "hf:org/sums?split=tset"),
        (root / "data" / "test-00000-of-00001.parquet", "rows.parquet?split=[:1]"),
        (root / "broken.parquet", "broken.parquet"),
    ):
        try:
            found.append([[row.values["answer"], row.where] for row in read_rows(path, reference, {})])
        except DataError as error:
            found.append(str(error))
    print("\n" + json.dumps(found))
