# The commands of this project. `just` lists them; each runs by itself, too.

# List the recipes
default:
    @just --list --unsorted

# Serve the webhook on 127.0.0.1:8443, with a certificate made under certs/
serve *args:
    cargo run --locked -- serve {{ args }}

# Run the tests; those against a real API server say `skipped` where go is missing
test *args:
    cargo test --locked {{ args }}

# Format the sources
fmt:
    cargo fmt

# Check that the sources are formatted
fmt-check:
    cargo fmt --check

# Run clippy on everything, and let no warning pass
lint:
    cargo clippy --all-targets --locked -- -D warnings

# Build the API documentation, and let no broken link pass
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# Check the licences and sources of the dependencies (cargo-deny)
deny:
    cargo deny --locked check licenses bans sources

# Check the dependencies for known vulnerabilities, against the database of the last `cargo deny fetch db`
advisories:
    cargo deny --locked --offline check advisories

# Look for dependencies that nothing uses (cargo-machete)
machete:
    cargo machete

# Check the Dockerfile (hadolint)
lint-dockerfile:
    hadolint Dockerfile

# Build the static binary as the Dockerfile does, and run it as its image would (needs root or sudo)
image-check *binary:
    scripts/image-check {{ binary }}

# Measure one review inside of the process
bench *args:
    cargo bench --locked --bench review --bench skip {{ args }}

# Measure `chartgate serve` under load, side by side with the floor (needs wrk and taskset)
bench-load *args:
    cargo bench --locked --bench load {{ args }}

# Run an installation under load and rotation for as long as `length` says, and let nothing grow (needs go)
soak length="10m":
    CHARTGATE_SOAK={{ length }} CHARTGATE_REQUIRE_CLUSTER=1 cargo test --locked --test cluster soak:: -- --nocapture

# Measure what a webhook costs at a real API server: none, the floor and chartgate in turns (needs Go, and port 443 of loopback)
bench-cluster *args:
    cargo bench --locked --bench cluster {{ args }}

# Measure `chartgate check` of a corpus, side by side with the least that can be done with the same files
bench-check *args:
    cargo bench --locked --bench check {{ args }}

# Whether the time of a check grows no faster than its files
bench-growth *args:
    cargo bench --locked --bench growth {{ args }}

# Everything that must hold before a change is merged
ci:
    bash .ci/run

# Write anew what is generated: the page of rules, the examples of reports, and the prefilter in the manifests
generate:
    cargo run --quiet --locked -- rules --format markdown > docs/rules.md
    UPDATE_GOLDEN=1 cargo test --quiet --locked --test prefilter -- --exact the_manifests_carry_the_prefilter_of_the_default_configuration
    UPDATE_GOLDEN=1 cargo test --quiet --locked --test report -- --exact schemas::the_documentation_shows_what_is_really_written
