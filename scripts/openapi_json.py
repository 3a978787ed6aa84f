#!/usr/bin/env python3
"""Turns api/openapi.yaml into the JSON that the server embeds and serves at /openapi.json.

usage: openapi_json.py INPUT.yaml OUTPUT.json

Anchors and merge keys are resolved, and every $ref must lead somewhere; otherwise the build stops.
"""
import json
import sys

import yaml


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolves(document, reference):
    node = document
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        document = yaml.safe_load(file)
    missing = sorted({r for r in references(document) if not resolves(document, r)})
    if missing:
        sys.exit(f"{sys.argv[1]}: these references lead nowhere: {', '.join(missing)}")
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
