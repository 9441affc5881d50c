"""Whether a value is what a case expects: the matchers of crates/dialect/golden/README.md."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Dict, List


def _b64bytes(s: str) -> bytes:
    s = s.strip().replace("-", "+").replace("_", "/")
    s += "=" * (-len(s) % 4)
    return base64.b64decode(s)


def _short(v: Any) -> str:
    text = json.dumps(v, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else text[:157] + "..."


def match(
    expected: Any, actual: Any, binds: Dict[str, str], path: str = "$", open_objects: bool = True
) -> List[str]:
    """Return a list of mismatches; empty means equal.

    open_objects=True  : keys in `actual` that `expected` does not name are allowed, and an
                         expected null matches an absent key (used for what a client receives).
    open_objects=False : every key must be named (used for what an upstream receives).
    """
    if isinstance(expected, dict):
        if "$any" in expected:
            kind = expected["$any"]
            ok = {
                "any": True,
                "string": isinstance(actual, str) and actual != "",
                "int": isinstance(actual, int) and not isinstance(actual, bool),
                "number": isinstance(actual, (int, float)) and not isinstance(actual, bool),
                "bool": isinstance(actual, bool),
                "object": isinstance(actual, dict),
                "array": isinstance(actual, list),
            }[kind]
            return [] if ok else [f"{path}: expected any {kind}, got {_short(actual)}"]
        if "$re" in expected:
            ok = isinstance(actual, str) and re.search(expected["$re"], actual) is not None
            return (
                []
                if ok
                else [f"{path}: expected to match /{expected['$re']}/, got {_short(actual)}"]
            )
        if "$contains" in expected:
            ok = isinstance(actual, str) and expected["$contains"].lower() in actual.lower()
            return (
                []
                if ok
                else [
                    f"{path}: expected to contain {expected['$contains']!r}, got {_short(actual)}"
                ]
            )
        if "$json" in expected:
            if not isinstance(actual, str):
                return [f"{path}: expected a JSON string, got {_short(actual)}"]
            try:
                parsed = json.loads(actual)
            except ValueError:
                return [f"{path}: not valid JSON: {_short(actual)}"]
            return match(expected["$json"], parsed, binds, path + "(json)", False)
        if "$bind" in expected:
            name = expected["$bind"]
            if not isinstance(actual, str) or not actual:
                return [
                    f"{path}: expected a non-empty string to bind as {name}, got {_short(actual)}"
                ]
            if name in binds and binds[name] != actual:
                return [f"{path}: {name} was {binds[name]!r}, now {actual!r}"]
            binds[name] = actual
            return []
        if "$ref" in expected:
            want = binds.get(expected["$ref"])
            return (
                [] if want == actual else [f"{path}: expected {_short(want)}, got {_short(actual)}"]
            )
        if "$in" in expected:
            for option in expected["$in"]:
                if not match(option, actual, dict(binds), path, open_objects):
                    return match(option, actual, binds, path, open_objects)
            return [f"{path}: expected one of {_short(expected['$in'])}, got {_short(actual)}"]
        if "$oneof" in expected:
            first: List[str] = []
            for option in expected["$oneof"]:
                trial = dict(binds)
                errs = match(option, actual, trial, path, open_objects)
                if not errs:
                    binds.update(trial)
                    return []
                first = first or errs
            return [f"{path}: no alternative matched; first: {first[0]}"]
        if "$b64" in expected:
            try:
                ok = isinstance(actual, str) and _b64bytes(actual) == _b64bytes(expected["$b64"])
            except Exception:
                ok = False
            if ok and expected.get("alphabet") == "standard" and re.search(r"[-_]", actual):
                ok = False
            return (
                []
                if ok
                else [
                    f"{path}: expected base64 of the bytes of {_short(expected['$b64'])}, "
                    f"got {_short(actual)}"
                ]
            )
        if "$unordered" in expected:
            if not isinstance(actual, list) or len(actual) != len(expected["$unordered"]):
                return [
                    f"{path}: expected {len(expected['$unordered'])} entries in any order, "
                    f"got {_short(actual)}"
                ]
            rest = list(actual)
            for i, want in enumerate(expected["$unordered"]):
                for j, got in enumerate(rest):
                    if not match(want, got, dict(binds), path, open_objects):
                        match(want, got, binds, path, open_objects)
                        del rest[j]
                        break
                else:
                    return [f"{path}[{i}]: nothing matched {_short(want)}"]
            return []
        if not isinstance(actual, dict):
            return [f"{path}: expected an object, got {_short(actual)}"]
        is_open = bool(expected.get("$open", open_objects)) and not expected.get("$closed", False)
        errors: List[str] = []
        for key, want in expected.items():
            if key in ("$open", "$closed"):
                continue
            where = f"{path}.{key}"
            if isinstance(want, dict) and want.get("$absent"):
                if actual.get(key) is not None:
                    errors.append(f"{where}: must be absent, got {_short(actual[key])}")
                continue
            if isinstance(want, dict) and "$optional" in want:
                if actual.get(key) is not None:
                    errors += match(want["$optional"], actual[key], binds, where, open_objects)
                continue
            if key not in actual:
                if want is None and open_objects:
                    continue
                errors.append(f"{where}: missing (expected {_short(want)})")
                continue
            errors += match(want, actual[key], binds, where, open_objects)
        if not is_open:
            for key in actual:
                if key not in expected:
                    errors.append(f"{path}.{key}: unexpected {_short(actual[key])}")
        return errors
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return [f"{path}: expected an array, got {_short(actual)}"]
        errors = []
        if len(expected) != len(actual):
            errors.append(
                f"{path}: expected {len(expected)} entries, got {len(actual)}: {_short(actual)}"
            )
        for i, (want, got) in enumerate(zip(expected, actual)):
            errors += match(want, got, binds, f"{path}[{i}]", open_objects)
        return errors
    if isinstance(expected, bool) or isinstance(actual, bool):
        return (
            []
            if expected is actual
            else [f"{path}: expected {_short(expected)}, got {_short(actual)}"]
        )
    if isinstance(expected, (int, float)) and isinstance(actual, (int, float)):
        return [] if expected == actual else [f"{path}: expected {expected}, got {actual}"]
    return (
        [] if expected == actual else [f"{path}: expected {_short(expected)}, got {_short(actual)}"]
    )


_SNAKE = re.compile(r"_([a-z0-9])")
_OPAQUE = {
    "args",
    "response",
    "parameters",
    "parametersJsonSchema",
    "responseSchema",
    "responseJsonSchema",
}


def _camel(node: Any) -> Any:
    """Gemini takes snake_case too. Keys inside of schemas, arguments and results stay."""
    if isinstance(node, list):
        return [_camel(v) for v in node]
    if not isinstance(node, dict):
        return node
    out: Dict[str, Any] = {}
    for k, v in node.items():
        name = _SNAKE.sub(lambda m: m.group(1).upper(), k)
        out[name] = v if name in _OPAQUE else _camel(v)
    return out


def normalise_upstream_body(fmt: str, body: Any) -> Any:
    """The body without the differences that an upstream of this format does not see."""
    if not isinstance(body, dict):
        return body
    out = json.loads(json.dumps(body))
    if out.get("stream") is False:
        del out["stream"]
    if fmt == "anthropic":
        for tool in out.get("tools") or []:
            if isinstance(tool, dict) and tool.get("type") == "custom":
                del tool["type"]  # the default
        return out
    if fmt != "gemini":
        return out

    def schema(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                k: (v.upper() if k == "type" and isinstance(v, str) else schema(v))
                for k, v in node.items()
            }
        if isinstance(node, list):
            return [schema(v) for v in node]
        return node

    out = _camel(out)
    for tool in out.get("tools") or []:
        for decl in tool.get("functionDeclarations") or []:
            if "parameters" in decl:
                decl["parameters"] = schema(decl["parameters"])
    if out.get("generationConfig") == {}:
        del out["generationConfig"]
    cfg = out.get("generationConfig")
    if isinstance(cfg, dict):
        if "responseSchema" in cfg:
            cfg["responseSchema"] = schema(cfg["responseSchema"])
        tc = cfg.get("thinkingConfig")
        if isinstance(tc, dict) and isinstance(tc.get("thinkingLevel"), str):
            tc["thinkingLevel"] = tc["thinkingLevel"].upper()
    si = out.get("systemInstruction")
    if isinstance(si, dict):
        si.pop("role", None)  # ignored there
    return out
