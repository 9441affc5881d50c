"""Cases: reading them, filling in placeholders, and cutting their answers."""

from __future__ import annotations

import base64
import json
import os
import re
from typing import Any, Dict, List, Optional


def load_json(path: str) -> Any:
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def load_cases(directory: str, only: Optional[str] = None) -> List[dict]:
    cases = []
    for name in sorted(os.listdir(directory)):
        if not name.endswith(".json") or name == "targets.json":
            continue
        case = load_json(os.path.join(directory, name))
        case["_file"] = name
        if only and not re.search(only, case["name"]):
            continue
        cases.append(case)
    return cases


def substitute(obj: Any, variables: Dict[str, str], binds: Dict[str, str]) -> Any:
    """Replace ${NAME} in strings and {"$ref": name} objects."""
    if isinstance(obj, str):
        return re.sub(r"\$\{([A-Z_]+)\}", lambda m: variables.get(m.group(1), m.group(0)), obj)
    if isinstance(obj, list):
        return [substitute(v, variables, binds) for v in obj]
    if isinstance(obj, dict):
        if set(obj) == {"$ref"}:
            return binds.get(obj["$ref"], "unbound-" + obj["$ref"])
        return {k: substitute(v, variables, binds) for k, v in obj.items()}
    return obj


def chunk_bytes(part: Any) -> bytes:
    """One element of an answer's chunks; a pause has no bytes."""
    if isinstance(part, str):
        return part.encode("utf-8")
    if "sleep_ms" in part:
        return b""
    if "hex" in part:
        return bytes.fromhex(part["hex"])
    return base64.b64decode(part["b64"])
