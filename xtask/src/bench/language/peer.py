"""peer.py RULES EVENTS N: the time that the Python engine takes for the Elastic rules over the
first N events, decoded before the clock starts. Prints one JSON object."""
import glob, json, sys, time, tomllib
import eql
from eql.engine import PythonEngine

rules, events, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
engine, loaded, alerts = PythonEngine(), [], 0


def plain(value):
    """Its comparisons know no lists."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return " ".join(map(str, value)) if isinstance(value, list) else value


def seen(_):
    global alerts
    alerts += 1


with eql.parser.elasticsearch_syntax, eql.parser.elastic_endpoint_syntax, eql.parser.ignore_missing_functions:
    for path in sorted(glob.glob(rules + "/*/*.toml")):
        try:
            with open(path, "rb") as file:
                engine.add_query(eql.parse_query(tomllib.load(file)["rule"]["query"]))
            loaded.append(path)
        except Exception:
            pass  # constructs that this engine does not know
engine.add_output_hook(seen)

decoded = []
with open(events, encoding="utf-8", errors="replace") as stream:
    for number, line in zip(range(count), stream):
        event = json.loads(line)
        category = event.get("event", {}).get("category") or ["generic"]
        decoded.append(eql.Event(category[0], number * 10_000, plain(event)))
start = time.perf_counter()
for event in decoded:
    engine.stream_event(event)
engine.finalize()
ns = int((time.perf_counter() - start) * 1e9 / max(len(decoded), 1))
print(json.dumps({"rules": len(loaded), "files": loaded, "events": len(decoded), "alerts": alerts, "ns": ns}))
