# Shortcuts; each is one command that also works without `just`. CI is .ci/run.

default:
    @just --list --unsorted

# Everything, in release
build:
    cargo build --workspace --release

# All tests, with the ttnn suite
test *ARGS:
    cargo test --workspace {{ARGS}}

# The ttnn suite alone; e.g. `just ttnn operations`
ttnn *ARGS:
    cargo test -p preload --test ttnn_suite -- {{ARGS}}

# The ttnn suite with an aggregator that is killed and started again every so many milliseconds
ttnn-restless MILLISECONDS="200" *ARGS:
    TT_ALLOC_RESTLESS={{MILLISECONDS}} cargo test -p preload --test ttnn_suite -- {{ARGS}}

# Header, libraries and pkg-config file of the C API, e.g. `just install-capi /opt/tt-alloc`
install-capi PREFIX:
    producer/capi/install {{PREFIX}}

# Provision the Python of the ttnn suite, and print its path
ttnn-setup:
    producer/preload/tests/ttnn/setup.sh

# Every interleaving of the ring, the ledger and the seqlock
loom *ARGS:
    .ci/loom {{ARGS}}

# Undefined behaviour in the layouts
miri *ARGS:
    .ci/miri {{ARGS}}

# The fuzz targets; e.g. `just fuzz 600 drain`
fuzz *ARGS:
    .ci/fuzz {{ARGS}}

# Break producers and aggregators at random for so many seconds, and check every total; e.g. `just torture 60 --seed 7`
torture SECONDS *ARGS:
    cargo build --release -p aggregator --bin aggregator
    cargo run --release -p torture -- {{SECONDS}} {{ARGS}}

# Format, in place
fmt:
    cargo fmt --all

# As CI does: clippy, all targets and features, no warning
lint:
    .ci/run format lint doc

# Licences, advisories, duplicates, sources
deny:
    cargo deny --all-features check

# Benchmarks, peers side by side
bench *ARGS:
    cargo bench -p benches {{ARGS}}

# The pictures of docs/alloc-top.md, from the real binary in front of the demo
screens:
    cargo build --release
    cargo run --release -p tui --example screens -- docs/screens

# Measure everything, and make docs/performance.md of it; e.g. `just curves --only scale`
curves *ARGS:
    cargo build --release --workspace
    cargo run --release -p benches --bin curves -- {{ARGS}}

# The demo workload with aggregator and alloc-top in front of you
demo *ARGS:
    cargo run --release --bin tt-alloc -- demo {{ARGS}}

# Everything that must pass
ci *STEPS:
    .ci/run {{STEPS}}
