# The commands that people repeat: `just` lists them. Each is one line that can be typed as well.

# what there is
default:
    @just --list

# lb with four servers of its own
demo:
    cargo run -- demo

# what a change must pass before it is shown to anybody; `.ci/run` is all of it
check:
    .ci/run formatting lints documentation tests

# one test by its name, of lb-core's library
test NAME:
    cargo test -p lb-core --lib {{NAME}}

# one file of lb-core's integration tests, such as `just promise http1 keep_alive`
promise FILE NAME='':
    cargo test -p lb-core --test {{FILE}} {{NAME}}

# each fuzz target for some seconds
fuzz SECONDS='10':
    fuzz/smoke {{SECONDS}}

# did this change make a step dearer?
count:
    cargo run -p benches --bin instructions

# cost beside the peers that are installed, of some scenarios
compare SCENARIOS='s1r,s4':
    cargo run --release -p benches --bin compare -- --scenario {{SCENARIOS}} --peer lb,haproxy,nginx,floor
