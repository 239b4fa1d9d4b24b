#!/usr/bin/env bash
# A newcomer's first quarter of an hour: a clean environment, the base install, the demo, runs of one's own, a forecast,
# whether it would have worked, and a page to show. Every step is timed; more than 15 minutes of the processor are a failure.
#
# Run: examples/first_quarter.sh [FOLDER]      without FOLDER everything is made in a temporary one and removed
# PYTHON [python3] makes the environment; pip's own variables, such as PIP_CONSTRAINT, are obeyed.
set -euo pipefail
export LC_ALL=C.UTF-8
source=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -gt 0 ]; then
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
else
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
export FORETELL_CACHE=$folder/cache                    # no kernel is compiled yet
unset PYTHONPATH PYTHONHOME FORETELL_TESTBEDS || true  # nothing but what was installed
cd "$folder"
rows=()

spend() { # set `spent`: processor time of everything run so far, in tenths of a second
    times >times.txt
    spent=$(tail -n 1 times.txt | tr 'ms' '  ' | awk '{ printf "%d", 10 * (60 * ($1 + $3) + $2 + $4) }')
}

step() { # name, command…: run it, note its seconds by the clock and of the processor
    local name=$1 began=${EPOCHREALTIME/./} before clock worked
    shift
    spend
    before=$spent
    printf '\n== %s\n' "$name"
    "$@"
    spend
    clock=$(((${EPOCHREALTIME/./} - began) / 100000)) worked=$((spent - before))
    rows+=("| $name | $((clock / 10)).$((clock % 10)) | $((worked / 10)).$((worked % 10)) |")
}

began=$SECONDS
step "make an environment" "${PYTHON:-python3}" -m venv env
step "install" env/bin/pip install --quiet --disable-pip-version-check "$source"
export PATH=$folder/env/bin:$PATH
if python -c 'import torch' 2>/dev/null; then
    echo "first_quarter.sh: torch came with the base install; it must not be needed" >&2
    exit 1
fi

step "the demo" foretell demo
cp "$source/examples/runs.csv" my-runs.csv
step "read my runs" foretell read table my-runs.csv --run model --N params --D tokens \
    --metric c4/loss=val_loss --metric '*/acc=acc_*' --chance '*/acc=0.25' --items '*/acc=2000' -o study/
step "forecast" foretell predict study/ -N 7B -D 1T
step "would it have worked?" foretell backtest study/ --metric c4/loss
step "report" foretell report study/ -N 7B -D 1T -o report.html
step "forecast, a second time" foretell predict study/ -N 7B -D 1T

grep -q '</html>' report.html
whole=$((SECONDS - began))
printf '\n| step | s | processor, s |\n|---|---|---|\n'
printf '%s\n' "${rows[@]}" "| all | $whole | $((spent / 10)) |"
if [ "$((spent / 10))" -gt 900 ]; then
    echo "first_quarter.sh: it took $((spent / 10)) s of the processor; a quarter of an hour has 900" >&2
    exit 1
fi
if [ "$whole" -gt 900 ]; then
    echo "first_quarter.sh: by the clock more than a quarter of an hour: the machine or the network was busy with other work"
fi
