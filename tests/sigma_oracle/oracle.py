"""An independent verdict on Sigma rules: pySigma's SQLite backend on events made from each rule.

usage: oracle.py RULES EVENTS-PER-RULE

Prints one JSON object a line: the file of the rule, and events (Sigma's field names) with the
verdict of SQLite on each; or the reason why the backend does not convert the rule.
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
from sigma.rule import SigmaDetection, SigmaDetectionItem
from sigma.types import (
    SigmaCIDRExpression,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

TABLE = "logs"
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


def near_miss(text, rng):
    """The value with one thing changed."""
    if not isinstance(text, str) or not text:
        return text
    at = rng.randrange(len(text))
    return rng.choice([
        text[:at] + text[at + 1:], text[:at] + "~" + text[at:], text + "~", "~" + text,
        text.swapcase(), text[::-1],
    ])


def value_of(values, rng):
    """A value of a field: some of what the rule looks for, changed or not, or something else."""
    chance = rng.random()
    if chance < 0.12 or not values:
        return rng.choice(NEUTRAL)
    chosen = rng.choice(values)
    text = sample(chosen, rng)
    if text is None:
        return rng.choice(NEUTRAL)
    if isinstance(text, str) and chance > 0.45 and len(values) > 1:
        # Several at once, so that `contains|all` has a chance.
        more = [sample(one, rng) for one in rng.sample(values, min(len(values), rng.randint(1, 6)))]
        text = " ".join([str(one) for one in more if one is not None] + [text])
    if chance > 0.82:
        return near_miss(text, rng)
    if chance > 0.75 and isinstance(text, str):
        return text.swapcase()
    return text


def whole_detection(detection, event, rng):
    """Lets an event satisfy one detection, so that conditions over several have a chance."""
    alternatives = detection.detection_items
    nested = [one for one in alternatives if isinstance(one, SigmaDetection)]
    if nested:
        whole_detection(rng.choice(nested), event, rng)
        return
    for item in alternatives:
        if item.field is None or not item.value:
            continue
        together = item.value_linking.__name__ == "ConditionAND"
        values = item.value if together else [rng.choice(item.value)]
        texts = [sample(one, rng) for one in values]
        if len(texts) == 1:
            event[item.field] = texts[0]
            continue
        # The last of a list often is where the text ends.
        event[item.field] = " ".join(str(one) for one in texts)


def events_of(rule, count, rng):
    fields = {}
    for detection in rule.detection.detections.values():
        for item in items(detection):
            if item.field is None:
                continue
            fields.setdefault(item.field, []).extend(item.value)
    events = []
    for number in range(count):
        event = {name: value_of(values, rng) for name, values in fields.items()}
        if number % 2 == 0:
            wanted = list(rule.detection.detections.items())
            likely = [d for name, d in wanted if not name.startswith("filter")]
            rng.shuffle(likely)
            for detection in likely[:rng.randint(1, len(likely))] if likely else []:
                whole_detection(detection, event, rng)
        if number % 6 == 5 and event:
            # Absent fields: `not` is the complement in both.
            event[rng.choice(sorted(event))] = None
        events.append(event)
    return events


def verdicts(sql, events):
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
            sql = backend.convert(collection)[0]
            events = events_of(rule, count, rng)
            line["events"] = events
            line["verdicts"] = verdicts(sql, events)
        except Exception as error:  # the reason is the result
            line["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(line))


if __name__ == "__main__":
    main()
