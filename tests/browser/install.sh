#!/usr/bin/env bash
# What the browser checks need: chromium, node and npm, and the two packages of package.json beside this file.
#
# A chromium that is there already (CHROMIUM, or /usr/bin/chromium) is used; else Debian's is installed, which needs root.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
    printf '\n*** The report was not checked in a browser: %s\n\n' "$*" >&2
    exit 1
}

missing=()
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
    [ -z "${CHROMIUM:-}" ] || [ -x "$CHROMIUM" ] || fail "CHROMIUM is $CHROMIUM, which is no program"
    command -v apt-get >/dev/null || fail "${missing[*]} not found, and no apt-get to install them; say where chromium is by CHROMIUM"
    [ "$(id -u)" = 0 ] || fail "${missing[*]} not found; install them as root: apt-get install -y ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || fail "apt-get update failed; is there a package mirror?"
    apt-get install -y -qq --no-install-recommends "${missing[@]}" fonts-dejavu-core >/dev/null ||
        fail "apt-get could not install ${missing[*]}; its reasons are above"
fi
"${CHROMIUM:-/usr/bin/chromium}" --version 2>/dev/null || fail "chromium is there but does not start"
npm install --no-audit --no-fund --no-package-lock --loglevel=error ||
    fail "npm could not install the packages of tests/browser/package.json"
