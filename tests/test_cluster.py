"""The cluster files: checked as far as that goes, and a real cluster of machines that are namespaces."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import clean_environment
from machines import PROJECT, Machines, missing

CLUSTER = PROJECT / "cluster"
FILES = sorted(path for path in CLUSTER.iterdir() if path.is_file())


def submit(*arguments: str, **environment: object) -> subprocess.CompletedProcess[str]:
    """submit.py as Ray calls it: with a bare name of the program, from the home folder."""
    return subprocess.run(
        [sys.executable, CLUSTER / "submit.py", *arguments],
        env=clean_environment() | {name: str(value) for name, value in environment.items()},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with the project in it."""
    for part in ("smoothray", "analysis"):
        (tmp_path / "smoothray").mkdir(exist_ok=True)
        (tmp_path / "smoothray" / part).symlink_to(PROJECT / part)
    return tmp_path


def test_submit_runs_the_mounted_project(home):
    ended = submit("--version", HOME=home)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("smoothray ")
    assert (home / "smoothray-records").is_dir()


def test_submit_passes_on_how_it_ended(home):
    ended = submit("run", "no such study.yaml", HOME=home)
    assert ended.returncode == 2
    assert "cannot read the study file no such study.yaml" in ended.stderr


def test_records_are_kept_beside_the_project(home):
    ended = submit("export", "nothing", "a.parquet", HOME=home)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    records = home / "smoothray-records"
    assert (home / "smoothray" / "mlruns").resolve() == records / "mlruns"
    ended = submit("ui", SMOOTHRAY_HOME=home / "smoothray", SMOOTHRAY_RECORDS=home / "elsewhere")
    assert f"sqlite:///{home / 'elsewhere' / 'mlflow.db'}" in ended.stderr


@pytest.mark.parametrize("place", ["HOME", "SMOOTHRAY_HOME"])
def test_submit_without_a_project(tmp_path, place):
    ended = submit("--version", **{place: tmp_path / "nothing"})
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: there is no smoothray project in ")
    assert ended.stderr.count("\n") == 1


def test_submit_without_what_smoothray_needs(home):
    ended = subprocess.run(
        [sys.executable, "-S", CLUSTER / "submit.py", "--version"],
        env={"HOME": str(home)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: smoothray is not installed for {sys.executable} (No ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["config.yaml", "local.yaml"])
def test_ray_accepts_the_file(name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((CLUSTER / name).read_text()))
    validate_config(config)
    assert config["file_mounts"] == {"~/smoothray": "."}
    assert ".git" in config["rsync_exclude"] and ".gitignore" in config["rsync_filter"]


@pytest.mark.parametrize("name", ["config.yaml", "local.yaml"])
def test_ray_asks_for_a_token(name):
    """It is made on the head before Ray starts there, in a file of its user's alone, and goes to all."""
    config = yaml.safe_load((CLUSTER / name).read_text())
    assert config["cluster_synced_files"] == ["~/.ray/auth_token"]
    stop, token, head = config["head_start_ray_commands"][:3]
    assert stop == "ray stop"
    assert "umask 077 && ray get-auth-token --generate > /dev/null" in token
    for start in (head, config["worker_start_ray_commands"][-1]):
        assert start.startswith("RAY_AUTH_MODE=token ") and " ray start " in start
    # What `ray submit` and `ray exec` run there has it in its environment.
    everywhere = config["setup_commands"] + config.get("docker", {}).get("run_options", [])
    assert any("RAY_AUTH_MODE=token" in command for command in everywhere)


def test_cloud_machines_come_from_zero():
    from ray.autoscaler._private.util import prepare_config

    config = prepare_config(yaml.safe_load((CLUSTER / "config.yaml").read_text()))
    nodes = config["available_node_types"]
    assert [nodes[name]["min_workers"] for name in ("teachers", "students")] == [0, 0]
    assert nodes["teachers"]["resources"] == {"CPU": 0, "GPU": 1}
    assert nodes["students"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert nodes["head"]["resources"] == {"CPU": 0}
    assert any("--num-cpus=0" in command for command in config["head_start_ray_commands"])
    assert config["head_setup_commands"] == config["worker_setup_commands"] == []


def test_the_kubernetes_file():
    volume, cluster = yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text())
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    spec = cluster["spec"]
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["authOptions"] == {"mode": "token"}
    constraints = (PROJECT / "constraints.txt").read_text().splitlines()
    assert f"ray=={spec['rayVersion']}" in constraints
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    workers = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    assert all(group["minReplicas"] == 0 for group in workers.values())
    for group in (spec["headGroupSpec"], *workers.values()):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["runAsUser"] == 1000
            assert ":" in container["image"] and not container["image"].endswith(":latest")
            for resources in container["resources"].values():
                assert set(resources) >= {"cpu", "memory"}
                assert all(re.fullmatch(r"\d+(m|Mi|Gi)?", amount) for amount in resources.values())
    (teacher,) = workers["teachers"]["template"]["spec"]["containers"]
    assert teacher["resources"]["limits"]["nvidia.com/gpu"] == "1"
    (claimed,) = spec["headGroupSpec"]["template"]["spec"]["volumes"]
    assert claimed["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]


def test_the_job_runs_on_the_same_cluster():
    volume, cluster = yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text())
    volume_of_job, job = yaml.safe_load_all((CLUSTER / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"], volume_of_job) == ("ray.io/v1", "RayJob", volume)
    spec = job["spec"]["rayClusterSpec"]
    # A job is handed in through the dashboard, from another pod.
    parameters = cluster["spec"]["headGroupSpec"]["rayStartParams"]
    assert parameters.pop("dashboard-host") == "127.0.0.1"
    assert spec == cluster["spec"] and spec["authOptions"] == {"mode": "token"}
    # It ends, and so does its cluster; what it calls is in the image, and the study comes along.
    assert job["spec"]["shutdownAfterJobFinishes"] is True and job["spec"]["backoffLimit"] > 0
    program, script, command, study, *_ = job["spec"]["entrypoint"].split()
    (head, *_) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    home = {setting["name"]: setting["value"] for setting in head["env"]}["SMOOTHRAY_HOME"]
    assert (program, script, command) == ("python", f"{home}/cluster/submit.py", "run")
    assert (PROJECT / study).is_file()


RAY_FIELDS: dict[str, dict[type, str]] = {
    "RayCluster": {
        bool: "enableInTreeAutoscaling suspend", str: "managedBy rayVersion", list: "workerGroupSpecs",
        dict: "authOptions autoscalerOptions gcsFaultToleranceOptions headGroupSpec headServiceAnnotations",
    },
    "RayJob": {
        bool: "shutdownAfterJobFinishes suspend",
        int: "activeDeadlineSeconds backoffLimit ttlSecondsAfterFinished",
        float: "entrypointNumCpus entrypointNumGpus",
        str: "entrypoint entrypointResources jobId managedBy runtimeEnvYAML submissionMode",
        dict: "clusterSelector metadata rayClusterSpec submitterConfig submitterPodTemplate",
    },
    "head": {bool: "enableIngress", str: "serviceType", dict: "headService rayStartParams template"},
    "workers": {
        bool: "suspend", int: "maxReplicas minReplicas numOfHosts replicas", str: "groupName",
        dict: "rayStartParams scaleStrategy template",
    },
    "autoscaler": {
        int: "idleTimeoutSeconds", str: "image imagePullPolicy upscalingMode version",
        list: "env envFrom volumeMounts", dict: "resources securityContext",
    },
}  # fmt: skip
"""Fields of KubeRay's kinds by their type, by its schemas of 1.5, which are in no package."""


def check_fields(kind: str, given: dict[str, object]) -> None:
    """All of them are KubeRay's, and of its types."""
    types = {name: type_ for type_, names in RAY_FIELDS[kind].items() for name in names.split()}
    for name, value in given.items():
        assert name in types and type(value) is types[name], f"{kind}: {name}: {value!r}"


def kubernetes_objects(name: str) -> Iterator[dict[str, object]]:
    """What Kubernetes itself will be given of a file: volumes, and a pod for each template in it."""
    for document in yaml.safe_load_all((CLUSTER / name).read_text()):
        if document["kind"] not in ("RayCluster", "RayJob"):
            yield document
            continue
        check_fields(document["kind"], document["spec"])
        spec = document["spec"].get("rayClusterSpec", document["spec"])
        check_fields("RayCluster", spec)
        check_fields("head", spec["headGroupSpec"])
        for group in spec["workerGroupSpecs"]:
            check_fields("workers", group)
        options = spec["autoscalerOptions"]
        check_fields("autoscaler", options)
        container = {key: options[key] for key in ("resources", "securityContext")}
        container |= {"name": "autoscaler", "image": "the-heads:1"}
        templates = [
            group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])
        ]
        for template in (*templates, {"spec": {"containers": [container]}}):
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}


@pytest.mark.parametrize("name", ["kuberay.yaml", "rayjob.yaml"])
def test_kubernetes_accepts_what_the_file_gives_it(name):
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate"
    )
    objects = list(kubernetes_objects(name))
    assert [each["kind"] for each in objects] == ["PersistentVolumeClaim"] + 4 * ["Pod"]
    for version in ("1.31", kubernetes.latest_version()):
        for each in objects:
            kubernetes.validate(each, version, strict=True)
    head = objects[1]
    head["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes.ValidationError, match="resource"):
        kubernetes.validate(head, version, strict=True)


def strict(schema: dict) -> dict:
    """A schema of Kubernetes that refuses fields it does not name."""
    names = {name: strict(each) for name, each in schema.get("properties", {}).items()}
    inner = {key: strict(schema[key]) for key in ("items",) if key in schema}
    inner |= {"properties": names, "additionalProperties": False} if names else {}
    if "int-or-string" in " ".join(schema):
        inner |= {"type": ["integer", "string"]}
    return schema | inner


@pytest.mark.parametrize("name", ["kuberay.yaml", "rayjob.yaml"])
def test_kuberays_own_schema_accepts_the_file(name):
    jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")
    if not (folder := os.environ.get("KUBERAY_CRDS")):
        pytest.skip("KUBERAY_CRDS names no folder with KubeRay's ray.io_rayclusters.yaml")
    _, given = yaml.safe_load_all((CLUSTER / name).read_text())
    file = Path(folder) / f"ray.io_{given['kind'].lower()}s.yaml"
    (version,) = (
        each
        for each in yaml.safe_load(file.read_text())["spec"]["versions"]
        if each["name"] == "v1"
    )
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.validate(given, schema)
    given["spec"]["headGroup"] = {}
    with pytest.raises(jsonschema.ValidationError, match="headGroup"):
        jsonschema.validate(given, schema)


def slurm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", CLUSTER / "slurm.sbatch", *arguments],
        env=clean_environment() | environment, cwd=PROJECT,
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def test_the_slurm_script():
    subprocess.run(["bash", "-n", CLUSTER / "slurm.sbatch"], check=True)
    job = {"SLURM_JOB_ID": "1234567", "SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_PER_TASK": "8"}
    ended = slurm("run", "a.yaml", DRY_RUN="1", HEAD="a1", HEAD_IP="10.1.2.3", **job)
    assert ended.returncode == 0, ended.stderr
    head, workers, study = ended.stdout.splitlines()
    assert head.startswith("srun --nodes=1 --ntasks=1 --nodelist=a1 ")
    assert " ray start --head " in head
    assert "--node-ip-address=10.1.2.3 --port=24567" in head and "--num-cpus=8" in head
    assert workers.startswith("srun --nodes=2 --ntasks=2 --exclude=a1 ")
    assert "ray start --address=10.1.2.3:24567 --num-cpus=8" in workers
    assert study.startswith("RAY_ADDRESS=10.1.2.3:24567 python ")
    assert study.endswith("/cluster/submit.py run a.yaml")
    alone = slurm("run", "a.yaml", DRY_RUN="1", **job | {"SLURM_JOB_NUM_NODES": "1"})
    assert len(alone.stdout.splitlines()) == 2
    assert slurm(DRY_RUN="1").returncode == 2


def test_the_image():
    text = (CLUSTER / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    words = [line.split() for line in lines]
    assert words[0][0] == "ARG" and words[1] == ["FROM", "${BASE}"]
    assert words[0][1].removeprefix("BASE=").split(":")[1] not in ("", "latest")
    places = {
        what: next(i for i, line in enumerate(lines) if what in line)
        for what in ("USER ", "--constraint constraints.txt", "warm_up()", "JULIAPKG_OFFLINE=yes")
    }
    assert list(places.values()) == sorted(places.values())
    assert [w[1] for w in words if w[0] == "USER"] == ["1000"]
    for source in (source for w in words if w[0] == "COPY" for source in w[2:-1]):
        assert (PROJECT / source).exists()


def test_nothing_listens_to_the_world():
    for file in (path for path in CLUSTER.rglob("*") if path.is_file()):
        text = file.read_text()
        if file.parent.name == "mlflow" and file.name == "compose.yaml":
            # Within its container alone: on this machine it is the port of 127.0.0.1.
            assert 'ports: ["127.0.0.1:5000:5000"]' in text
            text = re.sub(r"LISTEN: 0\.0\.0\.0 ", "", text)
        assert "0.0.0.0" not in text and "[::]" not in text, file
        for start in re.findall(r"ray start --head[^\n]*(?:\n +--[^\n]*)*", text):
            assert "--dashboard-host=127.0.0.1" in start, file
        for server in re.findall(r"mlflow,? server,?[^\n]*", text) if file in FILES else ():
            assert re.search(r"--host,? 127\.0\.0\.1", server), file
            assert re.search(r"MLFLOW_DISABLE_TELEMETRY(, value: \"|=)true", text), file


STUDY = """
name: tiny
datasets: [sklearn:iris]
trials: 2
penalties: {jacobian: [0.1]}
teacher: {steps: 60, hidden: [8]}
student: {options: {population_size: 50, generations: 5}}
"""

SSHD = """
ListenAddress 10.77.0.NODE
HostKey FOLDER/host_key
AuthorizedKeysFile FOLDER/authorized_keys
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
"""


class SSHMachines(Machines):
    """A launcher and two nodes that it reaches over SSH. `ray stop` ends only what runs on that node."""

    service = """
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -E "$1/node$2/sshd.log" -f "$1/node$2/sshd_config"
"""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, nodes=(2, 3))
        (self.project / "tiny.yaml").write_text(STUDY)
        for key in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True
            )
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        wanted = (PROJECT / "pyproject.toml").read_bytes()
        wanted += (PROJECT / "constraints.txt").read_bytes()
        for node in self.nodes:
            home = self.home(node)
            # As if `setup_commands` had installed the project here before.
            (home / "smoothray-venv").symlink_to(Path(sys.prefix))
            (home / "smoothray-venv.installed").write_bytes(wanted)
            sshd = SSHD.replace("NODE", str(node)).replace("FOLDER", str(folder))
            (folder / f"node{node}" / "sshd_config").write_text(sshd)
        self.start()

    def answer(self) -> bool:
        """Whether all machines' SSH servers greet within half a minute."""
        deadline = time.monotonic() + 30
        greet = (
            "for n in 2 3; do read -t 5 line < /dev/tcp/10.77.0.$n/22; [[ $line == SSH-* ]]; done"
        )
        while subprocess.run(self.inside("bash", "-ec", greet), capture_output=True).returncode:
            assert self.process.poll() is None, self.log
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[SSHMachines]:
    reason = missing(["rsync", "ssh", "ssh-keygen", "/usr/sbin/sshd"], "openssh-server rsync")
    if reason:
        pytest.skip(reason)
    machines = SSHMachines(tmp_path)
    try:
        if not machines.answer():  # seen once: sshd listened, and took no connection
            machines.close()
            machines.start()
            if not machines.answer():
                pytest.skip(f"sshd does not answer in a namespace here: {machines.log}")
        yield machines
    finally:
        machines.close()


@pytest.mark.cluster
@pytest.mark.ray
@pytest.mark.slow
def test_a_study_on_ones_own_machines(machines):
    """The shipped local.yaml, from `ray up` to `ray down`, with nothing but its places filled in."""
    text = (CLUSTER / "local.yaml").read_text()
    places = {
        "192.0.2.10": "10.77.0.2",
        "192.0.2.11, 192.0.2.12": "10.77.0.3",
        "researcher": "root",
        "~/.ssh/id_ed25519": str(machines.folder / "user_key"),
    }
    for placeholder, value in places.items():
        assert text.count(placeholder) == 1
        text = text.replace(placeholder, value)
    file = "cluster/local.yaml"
    (machines.project / file).write_text(text)

    up = machines.run("ray", "up", "--yes", "--no-config-cache", file)
    assert up.returncode == 0, up.stdout
    run = ("ray", "submit", file, "cluster/submit.py", "run", "tiny.yaml")
    first = machines.run(*run, timeout=150)
    assert first.returncode == 0, first.stdout
    assert "to do: 6 fits and 2 banks of teachers" in first.stdout
    assert "jacobian λ=0.1" in first.stdout
    assert "What it shows: cluster/submit.py report tiny" in first.stdout

    records = machines.home(2) / "smoothray-records"
    assert (records / "journal" / "tiny.jsonl.gz").stat().st_size > 0
    assert (records / "mlflow.db").exists() and list(records.glob("mlruns/*/*/artifacts/*"))
    again = machines.run(*run)
    assert again.returncode == 0, again.stdout
    assert "all 6 fits are recorded already" in again.stdout

    # The head has copied the project to the other machine and started Ray there.
    status = machines.run("ray", "exec", file, "ray status")
    assert "2 local.cluster.node" in status.stdout, status.stdout
    assert (machines.home(3) / "smoothray" / "smoothray" / "cli" / "__init__.py").exists()
    assert not (machines.home(3) / "smoothray-records").exists()

    # And a token, which Ray asks for: the launcher has none.
    files = [machines.home(node) / ".ray" / "auth_token" for node in (2, 3)]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    token, copied = (file.read_text() for file in files)
    assert token == copied and token not in up.stdout + first.stdout + machines.command_lines()
    asked = ("ray", "status", "--address", "10.77.0.2:6379")
    wrong = ("env", "RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN={'0' * len(token)}")
    refused = machines.run(*wrong, *asked)
    assert refused.returncode and "InvalidAuthToken" in refused.stdout, refused.stdout

    down = machines.run("ray", "down", "--yes", file)
    assert down.returncode == 0, down.stdout
    # Only a head has this process. Machine 3 ends by itself when it has not heard of its head for a while.
    assert machines.run("pgrep", "-x", "gcs_server").returncode == 1
