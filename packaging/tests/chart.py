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
POLICY = "apiVersion: aegisbpf.io/v1\n  # indented, and without an end of line"
EGRESS = {"to": [{"ipBlock": {"cidr": "192.0.2.10/32"}}], "ports": [{"port": 6514, "protocol": "TCP"}]}
# Values that are files, and the directory of each below /etc/aegisbpf.
PLACES = {
    "rules": "rules.d",
    "policies": "policies.d",
    "config": "config.d",
    "suppressions": "suppressions.d",
    "keys": "keys",
}
VALUES = {
    "as it is": {},
    "enforcing, with rules": {"enforce": True, "rules": {"mine.toml": RULE}, "extraArgs": ["--max-alerts", "10"]},
    "with all that it takes": {
        "enforce": True,
        "rules": {"mine.toml": RULE},
        "policies": {"mine.yaml": POLICY, "more.yaml": POLICY},
        "config": {"50-outputs.toml": '[outputs]\nto = ["syslog+tls://siem.example:6514#ca=/etc/aegisbpf/secrets/siem.pem"]\n'},
        "suppressions": {"backup.toml": "[[suppression]]\n"},
        "keys": {"acme.pub": "untrusted comment: a key\nRWQ\n"},
        # Two of one Secret, and one of another.
        "secrets": {
            "siem.pem": {"secret": "outputs", "key": "ca.pem"},
            "token": {"secret": "outputs", "key": "token"},
            "audit.key": {"secret": "audit", "key": "key"},
        },
        "egress": [EGRESS],
    },
    "another image": {"image": {"digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "x"}], "tolerations": []},
}
# Each is refused by the schema of the values.
REFUSED = {
    "an unknown key": {"enfroce": True},
    "a word for a switch": {"enforce": "yes"},
    "a rule outside its directory": {"rules": {"../x.toml": "x"}},
    "a policy that nothing reads": {"policies": {"mine.txt": "x"}},
    "a secret outside its directory": {"secrets": {"../x": {"secret": "x", "key": "x"}}},
    "a secret of nobody": {"secrets": {"x": {"key": "x"}}},
    "a way out that no NetworkPolicy knows": {"egress": [{"cidr": "192.0.2.0/24"}]},
    "a digest that is none": {"image": {"digest": "latest"}},
}


def objects(chart, values):
    """What the chart makes, but for the notes."""
    for name, text in chart.render(values, name="test", namespace="security").items():
        if name.endswith(".yaml"):
            yield from (one for one in yaml.safe_load_all(text) if one)


def daemon(chart, values):
    """The pod of the agent."""
    return next(one for one in objects(chart, values) if one["kind"] == "DaemonSet")["spec"]["template"]["spec"]


def container(chart, values):
    """The agent in it."""
    return daemon(chart, values)["containers"][0]


def files(chart, values):
    """Whether what values bring is where the agent looks for it, to the letter."""
    pod = daemon(chart, values)
    agent = pod["containers"][0]
    if agent["args"] != ["run", "--seccomp", "--policy=/etc/aegisbpf/policies.d", "--enforce"]:
        yield f"with policies the agent is started with {agent['args']}"
    maps = {one["metadata"]["name"]: one["data"] for one in objects(chart, values) if one["kind"] == "ConfigMap"}
    volumes = {one["name"]: one for one in pod["volumes"]}
    found = {}
    for mount in agent["volumeMounts"]:
        if mount["mountPath"].startswith("/etc/"):
            volume = volumes[mount["name"]]
            if "secret" in volume:
                found[mount["mountPath"]] = (volume["secret"]["secretName"], mount["subPath"])
                if volume["secret"]["defaultMode"] != 0o400:
                    yield f"{mount['mountPath']}: others may read it"
            else:
                found[mount["mountPath"]] = maps[volume["configMap"]["name"]][mount["subPath"]]
    wanted = {
        f"/etc/aegisbpf/{place}/{name}": text for kind, place in PLACES.items() for name, text in values[kind].items()
    }
    for name, of in values["secrets"].items():
        wanted[f"/etc/aegisbpf/secrets/{name}"] = (of["secret"], of["key"])
    if found != wanted:
        yield f"the agent finds {found} and not {wanted}"


def network(chart):
    """Whether the agent reaches name servers and what values say, and nothing else."""
    ways = {}
    for title in ("as it is", "with all that it takes"):
        policy = next(one for one in objects(chart, VALUES[title]) if one["kind"] == "NetworkPolicy")
        ways[title] = policy["spec"]["egress"]
    names = [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]
    if ways != {"as it is": names, "with all that it takes": [*names, EGRESS]}:
        yield f"the agent reaches {ways}"


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
        expected = {"DaemonSet", "ServiceAccount", "NetworkPolicy"} | ({"ConfigMap"} if PLACES.keys() & values.keys() else set())
        if kinds != expected:
            yield f"{title}: it makes {sorted(kinds)}"
    for title, values in REFUSED.items():
        try:
            chart.validate_schema(values)
            yield f"{title}: the schema lets it pass"
        except helm.HelmError:
            pass
    agent = container(chart, VALUES["enforcing, with rules"])
    if agent["args"] != ["run", "--seccomp", "--enforce", "--max-alerts", "10"]:
        yield f"the agent is started with {agent['args']}"
    yield from files(chart, VALUES["with all that it takes"])
    yield from network(chart)
    if not agent["securityContext"]["readOnlyRootFilesystem"] or agent["securityContext"]["privileged"]:
        yield "the agent's root filesystem is not read-only, or it is privileged"


findings = list(check(*sys.argv[1:]))
for finding in findings:
    print(f"FAIL chart: {finding}")
sys.exit(bool(findings))
