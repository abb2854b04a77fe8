#!/usr/bin/env bash
# Installs the Node and Go tools and the browser that `make accept` needs, or says which program is missing.
set -euo pipefail
cd "$(dirname "$0")"

need() { # program, Debian package
  command -v "$1" >/dev/null && return
  echo "tools: $1 is missing, installing Debian's $2"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$2"
  else
    echo "tools: install $2 by your system's package manager, then run 'make tools' again" >&2
    exit 1
  fi
}

need node nodejs
need npm npm
need go golang-go
command -v chromium-browser google-chrome google-chrome-stable >/dev/null || need chromium chromium
npm ci --prefix readers/node --no-progress --no-audit --no-fund --loglevel=error
mkdir -p ../../.tools/bin
go build -C readers/go -o "$PWD/../../.tools/bin/sluice-reader" .
go build -C ../../clients/go -o "$PWD/../../.tools/bin/sluice-go-example" ./example
echo "tools: node $(node --version), $(go version | cut -d' ' -f3), readers ready"
