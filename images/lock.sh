#!/bin/sh
# Writes every lock file of images/ anew; an argument such as `--upgrade` goes to `uv pip compile`.
# PIP_FIND_LINKS may name a folder that holds the CPU build of torch; without it PyTorch's own index is asked.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}

compile() {
    "$uv" pip compile --quiet --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make locks" --python-version 3.11 --python-platform x86_64-manylinux_2_28 "$@"
}

# Poise's own dependencies are resolved together with an image's; uv runs only where environments are made.
environment() {
    folder=images/$1 variant=$2
    shift 2
    compile pyproject.toml "$folder/requirements.$variant.in" --no-emit-package uv \
        --output-file "$folder/requirements.$variant.lock" "$@"
}

if [ -n "${PIP_FIND_LINKS:-}" ]; then
    set -- "$@" --find-links "$PIP_FIND_LINKS"
else
    set -- "$@" --torch-backend cpu
fi
