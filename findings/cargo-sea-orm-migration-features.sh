#!/usr/bin/env bash
# Which features of sea-orm sea-orm-migration switches on when it is asked for none.
#
# Versions: sea-orm-migration 2.0.4, sea-orm 2.0.4 (crates.io); cargo 1.95.
# Input:    `sea-orm-migration` and `sea-orm`, both with `default-features = false`.
# Seen:     sea-orm is built with its feature `default` all the same, which brings rust_decimal: sea-orm-migration
#           depends on sea-orm without `default-features = false`, and features of one version are united.
# Follows:  whoever keeps sea-orm small gets its defaults back with the migrations, and only `cargo tree` tells.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src && touch src/lib.rs
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
sea-orm = { version = "=2.0.4", default-features = false }

[features]
migrations = ["dep:sea-orm-migration"]

[dependencies.sea-orm-migration]
version = "=2.0.4"
default-features = false
optional = true
TOML
tree() { cargo tree --quiet --edges normal,features --prefix none --format '{p} {f}' "$@" 2>/dev/null; }
has() { grep -qE '^rust_decimal v' && echo yes || echo no; }
alone=$(tree | has)
both=$(tree --features migrations | has)
echo "rust_decimal with sea-orm alone: $alone; with sea-orm-migration beside it: $both"
[ "$alone $both" = "no yes" ]
