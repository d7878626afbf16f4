#!/bin/sh
# Sets up this checkout: system packages that are missing, then .venv from requirements.lock.
#   scripts/setup.sh         what `sidecall up` needs
#   scripts/setup.sh test    also the programs that the tests call
# Variables: PYTHON (python3), and those of uv and pip (indexes, certificates, caches).
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
UV_VERSION=0.13.9
# uv carries its own list of certificate authorities; a company's own is known to the system only.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
# Debian keeps servers where a normal user's PATH does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }
have() { command -v "$1" >/dev/null 2>&1; }
opus() { "$PYTHON" -c 'import ctypes; ctypes.CDLL("libopus.so.0")'; }
evapi() { ls /usr/lib/*/kamailio/modules/evapi.so /usr/*/lib*/kamailio/modules/evapi.so 2>/dev/null | grep -q .; }

missing=
# want PACKAGE COMMAND...: PACKAGE is missing when COMMAND fails.
want() { package=$1; shift; "$@" >/dev/null 2>&1 || missing="$missing $package"; }

find_missing() {
    want python3 have "$PYTHON"
    want python3-venv "$PYTHON" -c 'import ensurepip, venv'
    want ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    want netbase test -e /etc/protocols
    want kamailio have kamailio
    want kamailio-extra-modules evapi
    want rtpengine-daemon have rtpengine
    want libopus0 opus
    [ "${1:-}" = test ] || return 0
    want sip-tester have sipp
    want baresip-core have baresip
    want iproute2 have ip
    want tcpdump have tcpdump
    want flite have flite
}

install_missing() {
    have apt-get || die "missing:$missing. This script installs on Debian only; install them yourself."
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || die "missing:$missing. Run as root: apt-get install --no-install-recommends$missing"
        as_root=sudo
    fi
    say "installing$missing"
    hold_services
    $as_root apt-get -q -o DPkg::Lock::Timeout=300 update >&2
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 install --no-install-recommends $missing >&2
    disable_services
}

# Debian starts a server that it installs, with a default configuration and on our ports.
POLICY=/usr/sbin/policy-rc.d
hold_services() {
    [ ! -e $POLICY ] || return 0
    trap 'exit 130' INT TERM HUP
    trap '$as_root rm -f $POLICY' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $POLICY >/dev/null
    $as_root chmod 755 $POLICY
}

# Those that we have just installed do not start at the next boot either.
disable_services() {
    have systemctl || return 0
    for service in kamailio rtpengine-daemon; do
        case "$missing " in *" $service "*)
            $as_root systemctl disable "$service" >/dev/null 2>&1 || say "could not disable the service $service"
            say "the system service $service is disabled; \`systemctl enable $service\` undoes that" ;;
        esac
    done
}

install_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$PYTHON is too old: set PYTHON to 3.11 or later"
    stamp=$({ cat requirements.lock pyproject.toml scripts/setup.sh; "$PYTHON" -V; pwd; } | sha256sum)
    if [ -x .venv/bin/sidecall ] && [ "$(cat .venv/.stamp 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    uv=.cache/uv/bin/uv
    if [ "$($uv --version 2>/dev/null | cut -d' ' -f2)" != $UV_VERSION ]; then
        say "installing uv $UV_VERSION into .cache/uv"
        rm -rf .cache/uv
        "$PYTHON" -m venv .cache/uv
        .cache/uv/bin/pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    fi
    if [ "$(.venv/bin/python -V 2>/dev/null)" != "$("$PYTHON" -V)" ]; then
        $uv venv --quiet --clear --python "$PYTHON" .venv
    fi
    say "installing requirements.lock into .venv"
    $uv pip sync --quiet --require-hashes --python .venv/bin/python requirements.lock
    $uv pip install --quiet --no-deps --python .venv/bin/python --editable .
    printf '%s\n' "$stamp" >.venv/.stamp
}

find_missing "${1:-}"
[ -z "$missing" ] || install_missing
install_python
