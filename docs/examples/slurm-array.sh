#!/bin/bash
# A run in sixteen shards, a GPU each, on nodes that may be taken away:
#
#     sbatch slurm-array.sh sample-perturb --sigma 0.001 --sigma 0.005     # answers: Submitted batch job 77
#     esprobe merge --into study.db shard-77-*.db
#
# An array has files of its own, so several, such as one for each arm, may run at once; merge all with shard-*.db.
# To go on with the files of an earlier array, for failed tasks or more --samples, name it, when it runs no more:
#
#     CONTINUE=77 sbatch --array=3 slurm-array.sh sample-perturb --sigma 0.001 --sigma 0.005
#
# USR1 comes five minutes before the time limit. esprobe then stores what has finished and exits with 75, and the
# task is queued again; so it is when the node is wanted for something else (SIGTERM).
#SBATCH --array=1-16
#SBATCH --gpus=1
#SBATCH --time=08:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=shard-%A-%a.log

trap : USR1 TERM # where they reach this script too, it must live to copy the database back
shards=16 # not SLURM_ARRAY_TASK_COUNT: a single shard that is submitted again is still one of sixteen
number="$SLURM_ARRAY_TASK_ID"
run="${CONTINUE:-$SLURM_ARRAY_JOB_ID}"
kept="$SLURM_SUBMIT_DIR/shard-$run-$number.db"
local="${TMPDIR:-/tmp}/esprobe-$run-$number.db" # a local disk: see docs/store.md
if [ "$kept" -nt "$local" ]; then rm -f "$local" "$local"-* && cp "$kept" "$local"; fi # else a killed task left more

srun --ntasks=1 esprobe "$@" --db "$local" --shard "$number/$shards"
code=$?

# Written beside the old copy, and put in its place when it is whole.
if [ -f "$local" ]; then
    esprobe backup --overwrite --db "$local" "$local.copy" && cp "$local.copy" "$kept.part" &&
        mv "$kept.part" "$kept" && rm -f "$local" "$local"-* "$local".*
fi
# 138 and 143: the signal came while Python was still starting, or to srun itself.
case "$code" in 75 | 138 | 143) scontrol requeue "${SLURM_ARRAY_JOB_ID}_$number" ;; esac
exit "$code"
