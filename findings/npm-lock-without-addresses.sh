#!/usr/bin/env bash
# What `npm install --package-lock-only` writes where `node_modules` was installed without addresses.
#
# Versions: npm 11.19.1 (npm), Node 20; ms 2.1.3 as the package.
# Input:    a folder installed with `omit-lockfile-registry-resolved=true`, its lock file deleted, then a new one asked for with
#           `--omit-lockfile-registry-resolved=false`.
# Seen:     the new lock file has no `resolved` either: npm takes the packages from `node_modules/.package-lock.json`, which has
#           none, and does not ask the registry. In an empty folder the same command writes them.
# Follows:  a lock file that shall have its addresses is made beside the project, from its `package.json` alone.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir npm installed empty
npm install --silent --no-audit --no-fund --ignore-scripts --prefix npm npm@11.19.1 >/dev/null
npm() { node "$work/npm/node_modules/npm/bin/npm-cli.js" --silent --no-audit --no-fund --ignore-scripts "$@"; }
echo '{"name": "finding", "private": true, "dependencies": {"ms": "2.1.3"}}' | tee installed/package.json > empty/package.json
(cd installed && npm install --omit-lockfile-registry-resolved=true && rm package-lock.json)
for folder in installed empty; do
    (cd $folder && npm install --package-lock-only --omit-lockfile-registry-resolved=false)
    count=$(grep -c '"resolved"' $folder/package-lock.json || true)
    echo "$folder: $count addresses"
    declare "found_$folder=$count"
done
[ "$found_installed $found_empty" = "0 1" ]
