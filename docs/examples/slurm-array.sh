#!/bin/bash
# A run in sixteen shards, a GPU each, on nodes that may be taken away:
#
#     sbatch slurm-array.sh sample-perturb --sigma 0.001 --sigma 0.005     # answers: Submitted batch job 77
#     esprobe merge --into study.db shard-77-*.db
#
# An array has files of its own, so several, such as one for each arm, may run at once; merge all with shard-*.db.
# To go on with the files of an earlier array, for failed tasks or more --samples, name it:
#
#     CONTINUE=77 sbatch --array=3 slurm-array.sh sample-perturb --sigma 0.001 --sigma 0.005
#
# USR1 comes five minutes before the time limit. esprobe then stores what has finished and exits with 75, and the
# task is queued again; so it is when the node is wanted for something else (SIGTERM; how long there is then to copy
# the database back is your cluster's choice). scancel sends SIGTERM too: cancel once more what is queued again.
#SBATCH --array=1-16
#SBATCH --gpus=1
#SBATCH --time=08:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=shard-%A-%a.log

shards=16 # not SLURM_ARRAY_TASK_COUNT: a single shard that is submitted again is still one of sixteen
number="$SLURM_ARRAY_TASK_ID"
run="${CONTINUE:-$SLURM_ARRAY_JOB_ID}"
kept="$SLURM_SUBMIT_DIR/shard-$run-$number.db"
local="${TMPDIR:-/tmp}/esprobe-$SLURM_ARRAY_JOB_ID-$number.db" # a local disk: see docs/store.md

stamp() { stat -c %i:%Y:%s "$kept" 2> /dev/null; }

# Copies go under another name first, and are put in place when they are whole.
take() {
    if [ -f "$local" ]; then # a killed task left more than was kept; others may have kept more since
        [ "$(stamp)" = "$(cat "$local.taken")" ] && return
        now=$(stamp)
        esprobe merge --into "$local" "$kept" && echo "$now" > "$local.taken" && return
    fi # refused where both drew the same and not alike: what is kept counts, and the rest is drawn again
    rm -f "$local" "$local"[-.]*
    stamp > "$local.taken"
    [ ! -f "$kept" ] || { cp "$kept" "$local.in" && mv "$local.in" "$local"; }
}

keep() {
    [ -f "$local" ] || return 0
    if [ -f "$kept" ] && [ "$(stamp)" != "$(cat "$local.taken")" ]; then # another array has gone on with it meanwhile
        esprobe merge --into "$local" "$kept" || return
    fi
    esprobe backup --overwrite --db "$local" "$local.copy" && cp "$local.copy" "$kept.part" &&
        mv "$kept.part" "$kept" && rm -f "$local" "$local"[-.]*
}

keep_alone() { (flock 9 && keep) 9> "$kept.flock"; } # flock must hold between nodes, as it does on NFS

if [ -n "$CONTINUE" ] && ! compgen -G "$SLURM_SUBMIT_DIR/shard-$CONTINUE-*.db" > /dev/null; then
    echo "error: CONTINUE=$CONTINUE, and there is no shard-$CONTINUE-*.db in $SLURM_SUBMIT_DIR" >&2
    exit 2
fi
told=
trap 'told=1' USR1 TERM # where they reach this script too, it must live to copy the database back
code=1
if take; then
    if [ -n "$told" ]; then code=75; else
        srun --ntasks=1 esprobe "$@" --db "$local" --shard "$number/$shards"
        code=$?
    fi
    keep_alone || { [ -n "$told" ] && keep_alone; } || { # a signal may have ended the first attempt
        echo "error: $kept could not be written; what was drawn stays in $local on $(hostname)" >&2
        exit 1
    }
elif [ -n "$told" ]; then code=75; else
    echo "error: $kept could not be copied to $local, so nothing was drawn" >&2
fi
# 138 and 143: the signal came while Python was still starting, or to srun itself.
case "$code" in 75 | 138 | 143) scontrol requeue "${SLURM_ARRAY_JOB_ID}_$number" ;; esac
exit "$code"
