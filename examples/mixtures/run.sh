#!/usr/bin/env bash
# The repetition experiment, small and real: a scarce dictionary and an abundant manual, five horizons, two series.
#
#     examples/mixtures/run.sh TEXTS WORK [CORES]
#
# TEXTS holds folders dictionary and kernel (`examples/ladder/texts.py` makes them), WORK takes corpus, ladder, study and
# picture. 81 runs of 98K parameters, 39M tokens in all: half an hour on 2 cores. Stopped, it goes on where it was.
set -euo pipefail
texts=$1 work=$2 jobs=${3:-2}
# tokens; the target passes 94 times over the pool at most. Measured at the target, before any shorter run was trained:
# the best share lies inside, near two fifths; over a pool of 62,500 tokens of another source it lay at its edge
target=1500000 pool=16000

mkdir -p "$work"
if [ ! -f "$work/corpus/corpus.json" ]; then
    # documents of at most 600 bytes, so that a pool of 1,000 tokens can be cut to size; a byte is a token
    foretell corpus build dictionary="$texts/dictionary" kernel="$texts/kernel" \
        --longest 600 --held-out 0.05 -o "$work/corpus"
fi
if [ ! -f "$work/ladder.toml" ]; then
    foretell mix plan "$work/ladder.toml" -D "$target" --source dictionary --source kernel --pool dictionary=$pool \
        --points 7 --seeds 2 --layers 2 --width 64 --learning-rate 2e-3
fi
foretell train "$work/ladder.toml" --executor cores="$jobs"

# what the short horizons say, beside what the target itself says
foretell mix fit "$work/study" -D "$target" --pool dictionary=$pool --metric dictionary/loss --figure "$work/carried.png"
