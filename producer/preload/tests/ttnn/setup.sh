#!/usr/bin/env bash
# Stock ttnn, Tenstorrent's published wheel, on mock devices: no hardware, but
# the real allocator, program cache and GraphTracker. Prints the interpreter.
#
#   setup.sh [DIR]       default DIR: $CARGO_TARGET_DIR/ttnn, else target/ttnn
#
# TTNN_VERSION chooses the wheel, PYTHON the interpreter to start from, TTNN_PYTHON
# (3.12 or 3.10) one of that version. When DIR
# is ready already, this only looks. Exit code 3: something is missing here, and
# the message says what.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${CARGO_TARGET_DIR:-$here/../../../../target}/ttnn}
version=${TTNN_VERSION:-0.81.1}
venv=$dir/venv
ready=$dir/ready
compiler=riscv-tt-elf-g++

missing() {
    echo "setup.sh: $*" >&2
    exit 3
}

# Several test programs may come here at once.
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9

# Same wheel, same compiler: nothing to do.
wanted="ttnn $version${TTNN_PYTHON:+ python $TTNN_PYTHON} $(cksum <"$here/$compiler")"
if [ -x "$venv/bin/python" ] && [ "$(cat "$ready" 2>/dev/null)" = "$wanted" ] \
    && command -v riscv64-unknown-elf-gcc >/dev/null; then
    echo "$venv/bin/python"
    exit 0
fi

# The wheel exists for CPython 3.12 and 3.10 only.
usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1].split())' \
        "${TTNN_PYTHON:-3.12 3.10}" 2>/dev/null
}

find_python() {
    local candidate found
    for candidate in ${PYTHON:+"$PYTHON"} \
        {,/usr/local/bin/}python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.*/bin/python \
        {,/usr/local/bin/}python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python \
        python3 /opt/python*/bin/python3; do
        if found=$(command -v "$candidate") && usable "$found"; then
            echo "$found"
            return
        fi
    done
    if command -v uv >/dev/null; then
        for candidate in 3.12 3.10; do
            if found=$(uv python find "$candidate" 2>/dev/null) && usable "$found"; then
                echo "$found"
                return
            fi
        done
        uv python install --quiet "${TTNN_PYTHON:-3.12}" >&2 && uv python find "${TTNN_PYTHON:-3.12}"
    fi
}

if ! command -v riscv64-unknown-elf-gcc >/dev/null; then
    command -v apt-get >/dev/null || missing "needs riscv64-unknown-elf-gcc (Debian: gcc-riscv64-unknown-elf)"
    [ "$(id -u)" = 0 ] || missing "needs a RISC-V compiler: sudo apt-get install gcc-riscv64-unknown-elf"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc-riscv64-unknown-elf; } >&2 </dev/null \
        || missing "apt-get install gcc-riscv64-unknown-elf failed"
fi

rm -f "$ready"
if ! { [ -x "$venv/bin/python" ] && usable "$venv/bin/python"; }; then
    python=$(find_python) || true
    [ -n "$python" ] || missing "no Python ${TTNN_PYTHON:-3.12 or 3.10} with venv in PATH, pyenv, /usr/local, /opt or uv (or set PYTHON)"
    rm -rf "$venv"
    "$python" -m venv "$venv" >&2
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-input "ttnn==$version" >&2 </dev/null \
    || missing "pip could not install ttnn $version"

packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
install -D -m 755 "$here/$compiler" "$packages/ttnn/runtime/sfpi/compiler/bin/$compiler"
echo "$wanted" >"$ready"
echo "$venv/bin/python"
