#!/bin/sh
# Enlarges a folder of photos on many machines that share a drive:
#
#     sbatch slurm-array.sh /shared/photos /shared/results
#
# Each task does its own part and knows nothing of the others. A task that was killed, or whose
# photos failed, is run again by its number alone: it goes on where it stopped.
#
#     sbatch --array=3 slurm-array.sh /shared/photos /shared/results
#
#SBATCH --job-name=pixmend
#SBATCH --array=1-16
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue

set -eu

# The number of parts; it stays the same when fewer tasks are run again.
parts=${PARTS:-16}

# RAYON_NUM_THREADS: no more threads than this task has cores.
export RAYON_NUM_THREADS="${SLURM_CPUS_PER_TASK:-8}"
exec pixmend upscale "$1" -o "$2" --recursive --resume \
    --shard "$SLURM_ARRAY_TASK_ID/$parts" --model photo-4x --json
