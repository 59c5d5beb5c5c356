"""The bills of materials, held against the official schema of CycloneDX and the rules of SPDX.

Usage: bills.py DIRECTORY. Needs cyclonedx-python-lib[json-validation] and spdx-tools.
"""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

directory = Path(sys.argv[1])
findings = []
cyclonedx = (directory / "aegisbpf.cdx.json").read_text(encoding="utf-8")
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(cyclonedx)
if error:
    findings.append(f"CycloneDX: {error}")
document = parse_file(str(directory / "aegisbpf.spdx.json"))
findings += [f"SPDX: {one.validation_message}" for one in validate_full_spdx_document(document)]
names = {package.name for package in document.packages}
# One that is linked into the agent, and one that only tests use.
if "libbpf-rs" not in names or "proptest" in names:
    findings.append("SPDX: it does not list what is linked, or lists what is not")
for finding in findings:
    print(f"FAIL bills: {finding}")
sys.exit(bool(findings))
