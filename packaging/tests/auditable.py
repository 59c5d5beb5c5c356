"""What a program says it was linked from, held against the lock file: each part is there in that version, what only tests
use is not.

Usage: auditable.py SECTION PACKAGE, with the bytes of `.dep-v0` (the format of cargo-auditable: JSON, compressed by zlib).
"""

import json
import sys
import tomllib
import zlib
from pathlib import Path

# Far more than some hundred packages take.
LIMIT = 1 << 20

section, package = Path(sys.argv[1]).read_bytes(), sys.argv[2]
packages = json.loads(zlib.decompressobj().decompress(section, LIMIT))["packages"]
lock = tomllib.loads(Path("Cargo.lock").read_text(encoding="utf-8"))["package"]
known = {(one["name"], one["version"]) for one in lock}
findings = [
    f"{one['name']} {one['version']} is not in Cargo.lock"
    for one in packages
    if (one["name"], one["version"]) not in known
]
roots = [one["name"] for one in packages if one.get("root")]
if roots != [package]:
    findings.append(f"it says that it is {roots}, not {package}")
linked = {one["name"] for one in packages if one.get("kind", "runtime") == "runtime"}
# One that is linked into both programs, and one that only tests use.
if "serde_json" not in linked or "proptest" in linked:
    findings.append("it does not list what is linked, or lists what is not")
for finding in findings:
    print(f"FAIL auditable: {package}: {finding}")
print(f"{package}: {len(linked)} parts")
sys.exit(bool(findings))
