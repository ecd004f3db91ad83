#!/bin/sh
# Run chosen dieharder tests on one noise stream, each from the stream's start, and say how many bytes each one took.
#
#   sh benchmarks/battery.sh lanes --key 1 -- "-d 3" "-d 200 -n 8"      # what comes after -- are dieharder's options
#   PYTHON=.venv/bin/python sh benchmarks/battery.sh keys -- "-d 2"
#
# The whole battery on one unbroken stream is: python benchmarks/noise_bytes.py --count taken.txt | dieharder -a -g 200
set -eu

here=$(dirname "$0")
stream=""
while [ "$1" != "--" ]; do
    stream="$stream $1"
    shift
done
shift
taken=$(mktemp)
trap 'rm -f "$taken"' EXIT
for options in "$@"; do
    # The two lists are split into words on purpose.
    # shellcheck disable=SC2086
    nice -n 19 "${PYTHON:-python}" "$here/noise_bytes.py" $stream --count "$taken" | nice -n 19 dieharder -g 200 -D test_name -D ntuple -D tsamples -D psamples -D pvalues -D assessment $options
    echo "bytes taken: $(cat "$taken")"
done
