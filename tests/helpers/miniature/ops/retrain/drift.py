"""The miniature's drift: how many pictures are new."""

import json
import sys
from pathlib import Path

_, _, new, out = map(Path, sys.argv[1:])
out.write_text(json.dumps({"attributes": {}, "codes": None, "faces": len(json.loads(new.read_text()))}))
