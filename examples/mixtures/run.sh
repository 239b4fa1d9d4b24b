#!/usr/bin/env bash
# The repetition experiment, small and real: a scarce encyclopaedia and an abundant manual, five horizons, two series.
#
#     examples/mixtures/run.sh TEXTS WORK [CORES]
#
# TEXTS holds folders factbook and kernel (`examples/ladder/texts.py` makes them), WORK takes corpus, ladder, study and
# picture. About 80 runs of 98K parameters, 52M tokens in all: 1 to 2.5 hours on 2 cores. Stopped, it goes on where it was.
set -euo pipefail
texts=$1 work=$2 jobs=${3:-2}
target=2000000 pool=62500  # tokens: the target passes 32 times over the pool, as 30M models on WikiText did

mkdir -p "$work"
if [ ! -f "$work/corpus/corpus.json" ]; then
    # documents of at most 600 bytes, so that a pool of 4,000 tokens can be cut to size; a byte is a token
    foretell corpus build factbook="$texts/factbook" kernel="$texts/kernel" --longest 600 --held-out 0.05 -o "$work/corpus"
fi
if [ ! -f "$work/ladder.toml" ]; then
    foretell mix plan "$work/ladder.toml" -D "$target" --source factbook --source kernel --pool factbook=$pool \
        --points 7 --seeds 2 --layers 2 --width 64 --learning-rate 5e-3
fi
foretell train "$work/ladder.toml" --executor cores="$jobs"

foretell mix fit "$work/study" -D "$target" --pool factbook=$pool --metric factbook/loss \
    --where "D < 1500000" --figure "$work/carried.png"   # what the short horizons say
foretell mix fit "$work/study" -D "$target" --pool factbook=$pool --metric factbook/loss \
    --figure "$work/measured.png"                         # beside what the target itself says
