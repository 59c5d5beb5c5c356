"""An independent verdict on Sigma rules: pySigma's SQLite backend on events made from each rule.

usage: oracle.py RULES EVENTS-PER-RULE

Events are derived from the rule: such that satisfy its condition, for each the same with one field
changed so that it no longer does, and others. Keywords are looked for in the field `message`.

Prints one JSON object a line: the file of the rule, events (Sigma's field names) with the verdict of
SQLite on each, and the numbers of those that miss a hit by one field; or the reason why the backend
does not convert the rule.
"""

import json
import pathlib
import random
import re
import sqlite3
import sys

try:
    from re import _parser as sre
except ImportError:
    import sre_parse as sre

from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.conditions import ConditionAND, ConditionNOT, ConditionOR
from sigma.rule import SigmaDetection, SigmaDetectionItem
from sigma.types import (
    SigmaCIDRExpression,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

TABLE = "logs"
# Solutions that are tried for each hit that is wanted: some contradict themselves.
TRIES = 12
# Text that no rule looks for.
NEUTRAL = ["zq", "neutral value", "/opt/zq/bin", "7", "203.0.113.9"]
# What a wildcard may stand for.
FILL = ["", "q", "zq ", "Q9_", "/q/"]


def items(detection):
    """All detection items below a detection."""
    for one in detection.detection_items:
        if isinstance(one, SigmaDetection):
            yield from items(one)
        elif isinstance(one, SigmaDetectionItem):
            yield one


def sample_regex(tree, rng):
    """A text that the parsed expression matches, as far as it is built of common parts."""
    out = []
    for op, arg in tree:
        name = str(op)
        if name == "LITERAL":
            out.append(chr(arg))
        elif name == "NOT_LITERAL":
            out.append("q" if arg != ord("q") else "z")
        elif name == "ANY":
            out.append(rng.choice("q7 /"))
        elif name == "IN":
            out.append(sample_class(arg, rng))
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, inner = arg
            count = rng.randint(low, min(low + 2, int(high)))
            out.extend(sample_regex(inner, rng) for _ in range(count))
        elif name == "SUBPATTERN":
            out.append(sample_regex(arg[-1], rng))
        elif name == "BRANCH":
            out.append(sample_regex(rng.choice(arg[1]), rng))
    return "".join(out)


def sample_class(parts, rng):
    negated = str(parts[0][0]) == "NEGATE"
    allowed = [chr(c) for c in range(32, 127) if (one_of(parts, chr(c))) != negated]
    return rng.choice(allowed) if allowed else ""


def one_of(parts, letter):
    for op, arg in parts:
        name = str(op)
        if name == "LITERAL" and chr(arg) == letter:
            return True
        if name == "RANGE" and arg[0] <= ord(letter) <= arg[1]:
            return True
        if name == "CATEGORY":
            kind = str(arg)
            hit = {"DIGIT": letter.isdigit(), "SPACE": letter.isspace(),
                   "WORD": letter.isalnum() or letter == "_"}
            for word, is_it in hit.items():
                if kind.endswith("NOT_" + word) and not is_it:
                    return True
                if kind.endswith("CATEGORY_" + word) and is_it:
                    return True
    return False


def sample(value, rng):
    """A value that a rule's value matches, as a text or number."""
    if isinstance(value, SigmaString):
        parts = []
        for part in value.s:
            if isinstance(part, str):
                parts.append(part)
            elif part == SpecialChars.WILDCARD_MULTI:
                parts.append(rng.choice(FILL))
            else:
                parts.append("q")
        return "".join(parts)
    if isinstance(value, SigmaNumber):
        return value.number
    if isinstance(value, SigmaRegularExpression):
        text = sample_regex(sre.parse(str(value.regexp)), rng)
        return rng.choice(FILL) + text + rng.choice(FILL)
    if isinstance(value, SigmaCIDRExpression):
        network = value.network
        return str(network[min(rng.randint(0, 9), network.num_addresses - 1)])
    return None


def changed(text, rng):
    """The value with one letter taken away, put in or changed; so that an anchor or a word breaks."""
    if not isinstance(text, str):
        return text + 1
    if not text:
        return "~"
    at = rng.randrange(len(text))
    return rng.choice([
        text[:at] + text[at + 1:], text[:at] + "~" + text[at:], text[:at] + "~" + text[at + 1:],
        text + "~", "~" + text,
    ])


def wanted(node, holds, rng):
    """Comparisons with the value that each must have for the condition to hold, or not to."""
    if isinstance(node, ConditionNOT):
        return wanted(node.args[0], not holds, rng)
    if isinstance(node, (ConditionAND, ConditionOR)):
        if isinstance(node, ConditionAND) == holds:
            return [one for arg in node.args for one in wanted(arg, holds, rng)]
        return wanted(rng.choice(node.args), holds, rng)
    return [(node, holds)]


def together(values, rng):
    """One value that satisfies all: what is anchored at the start first, at the end last."""
    if len(values) == 1:
        return sample(values[0], rng)
    first, middle, last = [], [], []
    for value in values:
        text = sample(value, rng)
        if not isinstance(value, SigmaString) or not isinstance(text, str):
            middle.append(str(text))
        elif not value.startswith(SpecialChars.WILDCARD_MULTI):
            first.append(text)
        elif not value.endswith(SpecialChars.WILDCARD_MULTI):
            last.append(text)
        else:
            middle.append(text)
    rng.shuffle(middle)
    return rng.choice([" ", "", "/"]).join(first + middle + last)


def solution(tree, fields, rng):
    """An event that probably satisfies the condition, and the fields that make it so."""
    must = {}
    for leaf, holds in wanted(tree, True, rng):
        if holds:
            must.setdefault(leaf.field, []).append(leaf.value)
    event = {name: rng.choice(NEUTRAL) for name in fields}
    event.update({name: together(values, rng) for name, values in must.items()})
    return event, sorted(must)


def value_of(values, rng):
    """A value of a field: what the rule looks for, changed or not, or something else."""
    chance = rng.random()
    text = sample(rng.choice(values), rng) if values and chance > 0.12 else None
    if text is None:
        return rng.choice(NEUTRAL)
    if chance > 0.82:
        return changed(text, rng)
    return text.swapcase() if chance > 0.75 and isinstance(text, str) else text


def fields_of(rule):
    fields = {}
    for detection in rule.detection.detections.values():
        for item in items(detection):
            fields.setdefault(item.field, []).extend(item.value)
    return fields


def events_of(rule, sql, count, rng):
    """Events of a rule: its hits, for each the events that miss it by one field, and any others."""
    fields, trees = fields_of(rule), [one.parsed for one in rule.detection.parsed_condition]
    tries = [solution(rng.choice(trees), fields, rng) for _ in range(count * TRIES)]
    hits = [one for one, hit in zip(tries, verdicts(sql, [e for e, _ in tries])) if hit][:count]
    events, misses = [], []
    for event, must in hits:
        events.append(event)
        for name in must:
            variants = [dict(event, **{name: changed(event[name], rng)}) for _ in range(3)]
            if event[name] is not None and isinstance(event[name], str):
                events.append(dict(event, **{name: event[name].swapcase()}))
            variants.append(dict(event, **{name: None}))
            missed = [v for v, hit in zip(variants, verdicts(sql, variants)) if not hit]
            misses.extend(range(len(events), len(events) + len(missed)))
            events.extend(missed)
    for number in range(count):
        event = {name: value_of(values, rng) for name, values in fields.items()}
        if number % 3 == 2 and event:
            # Absent fields: `not` is the complement in both.
            event[rng.choice(sorted(event))] = None
        events.append(event)
    return events, misses


def keywords_in_message(rule):
    """Lets searches without a field look into the field `message`, as part of its text."""
    for detection in rule.detection.detections.values():
        for item in items(detection):
            if item.field is None:
                item.field = "message"
                item.value = [anywhere(value) for value in item.value]


def anywhere(value):
    if not isinstance(value, SigmaString):
        return value
    if not value.startswith(SpecialChars.WILDCARD_MULTI):
        value = SpecialChars.WILDCARD_MULTI + value
    if not value.endswith(SpecialChars.WILDCARD_MULTI):
        value = value + SpecialChars.WILDCARD_MULTI
    return value


def verdicts(sql, events):
    if not events:
        return []
    names = sorted({name for event in events for name in event})
    base = sqlite3.connect(":memory:")
    base.create_function("REGEXP", 2, lambda p, v: v is not None and re.search(p, str(v)) is not None)
    columns = ", ".join(f'"{name}" TEXT COLLATE NOCASE' for name in names)
    base.execute(f"CREATE TABLE {TABLE} (number INTEGER, {columns})")
    marks = ", ".join("?" for _ in range(len(names) + 1))
    for number, event in enumerate(events):
        base.execute(f"INSERT INTO {TABLE} VALUES ({marks})",
                     [number] + [event.get(name) for name in names])
    query = sql.replace("SELECT *", "SELECT number", 1)
    found = {row[0] for row in base.execute(query)}
    return [number in found for number in range(len(events))]


def main():
    folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    backend = sqliteBackend()
    for path in sorted(folder.rglob("*.yml")):
        line = {"file": str(path.relative_to(folder))}
        try:
            collection = SigmaCollection.from_yaml(path.read_text())
            rule = collection.rules[0]
            rng = random.Random(path.name)
            keywords_in_message(rule)
            sql = backend.convert(collection)[0]
            events, line["misses"] = events_of(rule, sql, count, rng)
            line["events"] = events
            line["verdicts"] = verdicts(sql, events)
        except Exception as error:  # the reason is the result
            line["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(line))


if __name__ == "__main__":
    main()
