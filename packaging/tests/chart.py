"""The Helm chart: linted by Helm, rendered with sets of values, and what comes out held against the schemas of Kubernetes.

Usage: chart.py CHART VERSION. Needs helm-python-sdk (Helm itself, as a library) and kubernetes-validate.
"""

import sys

import helm_python as helm
import kubernetes_validate
import yaml

# The oldest Kubernetes that the chart is for, and the newest that the schemas know.
KUBERNETES = ["1.30", kubernetes_validate.latest_version()]

RULE = "[[rule]]\nid = 'mine'\n"
VALUES = {
    "as it is": {},
    "enforcing, with rules": {"enforce": True, "rules": {"mine.toml": RULE}, "extraArgs": ["--max-alerts", "10"]},
    "another image": {"image": {"digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "x"}], "tolerations": []},
}
# Each is refused by the schema of the values.
REFUSED = {
    "an unknown key": {"enfroce": True},
    "a word for a switch": {"enforce": "yes"},
    "a rule outside its directory": {"rules": {"../x.toml": "x"}},
    "a digest that is none": {"image": {"digest": "latest"}},
}


def objects(chart, values):
    """What the chart makes, but for the notes."""
    for name, text in chart.render(values, name="test", namespace="security").items():
        if name.endswith(".yaml"):
            yield from (one for one in yaml.safe_load_all(text) if one)


def check(path, version):
    """All that is wrong, a line each."""
    said = helm.lint(path, strict=True)
    for message in said.get("messages", []) or []:
        if "icon is recommended" not in str(message):
            yield f"lint: {message}"
    chart = helm.Chart.load(path)
    with open(f"{path}/Chart.yaml", encoding="utf-8") as file:
        about = yaml.safe_load(file)
    for key in ("version", "appVersion"):
        if about[key] != version:
            yield f"Chart.yaml: {key} is not {version}"
    for title, values in VALUES.items():
        kinds = set()
        for one in objects(chart, values):
            kinds.add(one["kind"])
            for kubernetes in KUBERNETES:
                try:
                    kubernetes_validate.validate(one, kubernetes, strict=True)
                except kubernetes_validate.ValidationError as error:
                    yield f"{title}: {one['kind']} for {kubernetes}: {error.message}"
        expected = {"DaemonSet", "ServiceAccount", "NetworkPolicy"} | ({"ConfigMap"} if "rules" in values else set())
        if kinds != expected:
            yield f"{title}: it makes {sorted(kinds)}"
    for title, values in REFUSED.items():
        try:
            chart.validate_schema(values)
            yield f"{title}: the schema lets it pass"
        except helm.HelmError:
            pass
    agent = next(one for one in objects(chart, VALUES["enforcing, with rules"]) if one["kind"] == "DaemonSet")
    agent = agent["spec"]["template"]["spec"]["containers"][0]
    if agent["args"] != ["run", "--enforce", "--max-alerts", "10"]:
        yield f"the agent is started with {agent['args']}"
    if not agent["securityContext"]["readOnlyRootFilesystem"] or agent["securityContext"]["privileged"]:
        yield "the agent's root filesystem is not read-only, or it is privileged"


findings = list(check(*sys.argv[1:]))
for finding in findings:
    print(f"FAIL chart: {finding}")
sys.exit(bool(findings))
