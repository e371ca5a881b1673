#!/bin/sh
# Enlarges a folder of photos on machines that share a drive and answer to ssh, with GNU parallel:
#
#     HOSTS=ant,bee,cat gnu-parallel.sh /shared/photos /shared/results
#
# Each machine takes one part after the other. Without HOSTS, all is done on this one. Run again
# after a crash, it goes on where each part stopped.

set -eu

# More parts than machines, so that fast machines take more of them.
parts=${PARTS:-16}

# RAYON_NUM_THREADS is left alone: one part at a time has all cores of its machine.
seq "$parts" | parallel --jobs 1 ${HOSTS:+--sshlogin "$HOSTS"} --line-buffer --retries 3 \
    pixmend upscale {1} -o {2} --recursive --resume --shard "{3}/$parts" --model photo-4x --json \
    ::: "$1" ::: "$2" :::: -
