"""ops/deploy/clusters: the examples parse, call what is there, and hand torchrun words that it takes."""

import re
import shlex
import shutil
import subprocess

import pytest
import yaml
from torch.distributed.run import get_args_parser

from tests.conftest import ROOT

CLUSTERS = ROOT / "ops" / "deploy" / "clusters"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def scripts() -> dict[str, str]:
    """The shell script in each example."""
    sky = yaml.safe_load((CLUSTERS / "sky.yaml").read_text(encoding="utf-8"))
    _, job = yaml.safe_load_all((CLUSTERS / "kubernetes.yaml").read_text(encoding="utf-8"))
    container = job["spec"]["template"]["spec"]["containers"][0]
    return {
        "slurm.sh": (CLUSTERS / "slurm.sh").read_text(encoding="utf-8"),
        "sky.yaml": sky["setup"] + sky["run"],
        "kubernetes.yaml": container["args"][0],
    }


@pytest.mark.parametrize("name", ["slurm.sh", "sky.yaml", "kubernetes.yaml"])
def test_an_example_says_what_the_programs_understand(name):
    """Bash reads it; each torchrun line parses with torchrun's own parser; each module and each DVC stage
    named exists; paths are those of dvc.yaml.
    """
    script = scripts()[name]
    done = subprocess.run(
        [shutil.which("bash"), "-n"], input=script, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    launches = re.findall(r'torchrun (--.*?)"', script, re.DOTALL)
    assert launches
    for words in launches:
        filled = re.sub(r"\$\w+", "1", words.replace("\\\n", " "))
        options = get_args_parser().parse_args(
            [*shlex.split(filled), "-m", "stages.train", "data/crops", "data/model"]
        )
        assert options.module and options.training_script == "stages.train"
        assert options.standalone or (options.rdzv_backend, options.rdzv_endpoint.split(":")[-1]) == (
            "c10d",
            "29500",
        )
    for stage, arguments in re.findall(r"-m stages\.(\w+)((?: data/\w+)+)", script):
        assert STAGES[stage]["cmd"] == f"python -m stages.{stage}{arguments}"
    for stage in re.findall(r"dvc repro (\w+)", script):
        assert stage in STAGES
    assert "dvc repro" in script


def test_the_hosts_of_kubernetes_find_each_other():
    """Pod i of an indexed job is called after it, under the subdomain of a headless service that selects its
    pods.
    """
    service, job = yaml.safe_load_all((CLUSTERS / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod = job["spec"]["template"]["spec"]
    assert (
        job["spec"]["completionMode"] == "Indexed"
        and job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    )
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["selector"] == {
        "job-name": job["metadata"]["name"]
    }
    assert pod["subdomain"] == service["metadata"]["name"]
    assert f"--rdzv-endpoint {job['metadata']['name']}-0.{pod['subdomain']}:29500" in " ".join(
        pod["containers"][0]["args"][0].split()
    )
