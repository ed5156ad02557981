#!/bin/bash
# The pipeline on several hosts of a Slurm cluster: sbatch ops/deploy/clusters/slurm.sh, in a checkout on a
# file system that the hosts share. DVC runs on the first host; the heavy stages start torchrun on every
# host through srun, all else runs on the first alone.
#SBATCH --job-name=faces
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

PATH="$PWD/.venv/bin:$PATH"
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export FACES_LAUNCH="srun --kill-on-bad-exit=1 torchrun --nnodes $SLURM_NNODES --nproc-per-node $SLURM_GPUS_ON_NODE \
	--rdzv-backend c10d --rdzv-id $SLURM_JOB_ID --rdzv-endpoint $first:29500"
dvc repro
