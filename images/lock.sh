#!/bin/sh
# Resolves every lock file of images/; arguments such as `--upgrade-package trl` go to `uv pip compile`.
# PIP_FIND_LINKS may name a folder that holds the CPU build of torch; without it PyTorch's own index is asked.
set -eu
cd "$(dirname "$0")/.."

compile() { # OUTPUT INPUT...
    output=images/$1
    shift
    "${UV:-uv}" pip compile --quiet --generate-hashes --no-annotate --no-emit-index-url \
        --custom-compile-command "make locks" --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
        --output-file "$output" "$@"
}

# An environment is resolved together with Poise's own dependencies, of which uv makes environments and is not in them.
cuda() { # IMAGE INPUT ARGUMENT...
    image=$1 input=$2
    shift 2
    compile "$image/requirements.cuda.lock" pyproject.toml "images/$image/$input" --no-emit-package uv "$@"
}

cpu() { # as cuda
    image=$1 input=$2
    shift 2
    if [ -n "${PIP_FIND_LINKS:-}" ]; then
        set -- --find-links "$PIP_FIND_LINKS" "$@"
    else
        set -- --torch-backend cpu "$@"
    fi
    compile "$image/requirements.cpu.lock" pyproject.toml "images/$image/$input" --no-emit-package uv "$@"
}

cpu trainer requirements.in "$@"
cuda trainer requirements.in "$@"
cpu quantizer requirements.in "$@"
cuda quantizer requirements.in "$@"
compile quantizer/build.lock images/quantizer/build.in "$@"
cpu server requirements.cpu.in --override images/server/overrides.cpu.txt "$@"
cuda server requirements.cuda.in "$@"
