"""--executor slurm: with a stand-in for Slurm's commands that runs job scripts as processes, and with Slurm itself."""

from __future__ import annotations

import getpass
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest
from faults._cluster import CLIPS, POINTS, arguments, calm, count, finish, free_port
from faults._support import linux, make_clips, start, tables

pytest.importorskip("dask_jobqueue", reason="the extra slurm is not installed")

pytestmark = [pytest.mark.slow, linux]

JOBQUEUE = """\
jobqueue:
  slurm:
    cores: 1
    processes: 1
    memory: 1GB
    interface: lo
    queue: {queue}
    job-directives-skip: {skip}
    local-directory: {folder}
    log-directory: {folder}
"""

SBATCH = """\
#!/bin/sh
# As sbatch does: takes a job script, starts it, and says its number.
for script; do :; done
grep -q '^#SBATCH -n 1' "$script" || exit 1
cp "$script" {folder}/job.sh
setsid sh {folder}/job.sh > {folder}/job.$$.log 2>&1 &
echo "Submitted batch job $!"
"""

SCANCEL = """\
#!/bin/sh
echo "$@" >> {folder}/cancelled
kill -TERM -- "-$1"
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("corpus") / "clips", CLIPS)


@pytest.fixture(scope="module")
def local(tmp_path_factory, clips):
    return calm(tmp_path_factory.mktemp("local") / "run", clips)


def configured(folder: Path, queue: str = "null", skip: str = "[]") -> dict[str, str]:
    (folder / "dask").mkdir()
    (folder / "dask" / "jobqueue.yaml").write_text(JOBQUEUE.format(queue=queue, folder=folder, skip=skip))
    return {"DASK_CONFIG": str(folder / "dask"), "CODECBENCH_TEST_PAUSE": "0.05"}


def run(out: Path, clips: Path, env: dict[str, str]) -> tuple[dict[str, object], str]:
    args = arguments(out, clips, "--no-timing", "--executor", "slurm", "--workers", "2")
    return finish(start(args, os.environ | env))


def test_job_scripts_are_given_to_sbatch_and_cancelled_in_the_end(tmp_path, clips, local):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(text.format(folder=tmp_path))
        (programs / name).chmod(stat.S_IRWXU)
    env = configured(tmp_path) | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    outcome, _ = run(tmp_path / "run", clips, env)
    assert outcome["computed"] == count(tmp_path / "run") == CLIPS * POINTS
    assert tables(tmp_path / "run") == local
    assert "dask_worker tcp://" in (tmp_path / "job.sh").read_text()
    assert len((tmp_path / "cancelled").read_text().split()) == 2


def test_a_configuration_without_cores_says_what_to_set(tmp_path, clips):
    (tmp_path / "dask").mkdir()
    args = arguments(tmp_path / "run", clips, "--executor", "slurm", "--workers", "2")
    process = start(args, os.environ | {"DASK_CONFIG": str(tmp_path / "dask")})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "jobqueue.slurm" in said


SLURM_CONF = """\
ClusterName=codecbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={port2}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path):
    """A Slurm of one node on this machine; the environment in which its commands find it."""
    programs = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "sinfo")
    found = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for name in programs}
    if missing := [name for name, path in found.items() if not path]:
        pytest.skip(f"Slurm is not installed ({', '.join(missing)}): apt install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("needs root to start Slurm's daemons")
    folder = Path(f"/tmp/codecbench-slurm-{os.getpid()}")  # a socket's path must be short
    for part in ("state", "spool"):
        (folder / part).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o400)
    host = os.uname().nodename.partition(".")[0]
    (folder / "slurm.conf").write_text(
        SLURM_CONF.format(
            host=host, port=free_port(), port2=free_port(), folder=folder, user=getpass.getuser(), cpus=os.cpu_count()
        )
    )
    plugin = "cgroup/v1" if Path("/sys/fs/cgroup/freezer").is_dir() else "disabled"
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")
    env = {"SLURM_CONF": str(folder / "slurm.conf")}
    munge = [*(str(found["munged"]), "-F", "-f", f"--key-file={key}", f"--socket={folder}/munge.socket")]
    munge += [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    daemons = [munge, [str(found["slurmctld"]), "-D"], [str(found["slurmd"]), "-D", "-N", host]]
    processes = []
    try:
        for command in daemons:
            log = (folder / f"{Path(command[0]).name}.out").open("wb")
            processes.append(subprocess.Popen(command, env=os.environ | env, stdout=log, stderr=log))
            log.close()
            time.sleep(1)
        for _ in range(60):
            state = subprocess.run(
                [str(found["sinfo"]), "-h", "-o", "%t"], env=os.environ | env, capture_output=True, text=True
            )
            if state.stdout.strip() == "idle":
                break
            time.sleep(0.5)
        else:
            logs = "\n".join(path.read_text()[-1000:] for path in folder.glob("*.log"))
            pytest.skip(f"Slurm does not start here: {state.stdout}{state.stderr}\n{logs}")
        yield env
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def test_slurm_itself(tmp_path, clips, local, slurm):
    outcome, _ = run(tmp_path / "run", clips, configured(tmp_path, "all", "['--mem']") | slurm)
    assert outcome["computed"] == count(tmp_path / "run") == CLIPS * POINTS
    assert tables(tmp_path / "run") == local
