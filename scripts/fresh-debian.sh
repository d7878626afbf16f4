#!/bin/bash
# Does with the last commit what a newcomer does, in a fresh Debian 12 container: clone it, then make.
#   scripts/fresh-debian.sh up            make up, call the bot with SIPp, stop it, look for what is left
#   scripts/fresh-debian.sh test [ARG...] make test; the arguments go to pytest
# Needs docker, and the image debian:bookworm-slim (IMAGE names another). Prints how long each step took.
# The exit status is that of the first step that failed. The container ends with this script, or by itself
# when LIMIT seconds (3600) have passed.
set -euo pipefail
cd "$(dirname "$0")/.."

IMAGE=${IMAGE:-debian:bookworm-slim}
LIMIT=${LIMIT:-3600}
PLACE=/root/sidecall
CALL_SECONDS=4
FRAMES_PER_SECOND=50

case "${1:-}" in
    up) [ $# = 1 ] || { echo "$0 up takes no arguments" >&2; exit 2; } ;;
    test) ;;
    *) sed -n '2,/^set/s/^# \?//p' "$0" >&2; exit 2 ;;
esac

work=$(mktemp -d)
end() {
    [ ! -s "$work/container" ] || docker rm --force --volumes "$(<"$work/container")" >/dev/null || true
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# step NAME COMMAND...: runs it with its time. In the background, so that a signal ends the wait.
step() {
    local name=$1 start=$EPOCHREALTIME status=0
    shift
    "$@" &
    wait $! || status=$?
    printf '== %-34s %s in %s s\n' "$name" "$([ $status = 0 ] && echo ok || echo "FAILED ($status)")" \
        "$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }")"
    [ $status = 0 ] || exit $status
}

fail() { echo "$*" >&2; return 1; }
inside() { docker exec --workdir $PLACE "$container" "$@"; }

# Network namespaces need the rights. An engine that lacks SYS_RESOURCE itself cannot give it.
# Init collects orphans, as on every machine.
start_container() {
    docker run --detach --rm --init --cap-add ALL --cap-drop SYS_RESOURCE \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        "$IMAGE" sleep "$LIMIT" >"$work/container"
}

install() {
    docker exec --env DEBIAN_FRONTEND=noninteractive "$container" \
        apt-get -q -y install --no-install-recommends "$@" >"$work/apt" 2>&1 || fail "$(tail -n 20 "$work/apt")"
}

install_git_and_make() {
    docker exec "$container" apt-get -q update >/dev/null
    install git make ca-certificates
}

clone() {
    git bundle create --quiet - HEAD | docker exec --interactive "$container" sh -c 'cat >/root/sidecall.bundle'
    docker exec "$container" git -c advice.detachedHead=false clone --quiet /root/sidecall.bundle $PLACE
}

make_up() {
    inside sh -c 'echo $$ >/root/make.pid; exec make up' >"$work/up" 2>&1
}

is_running() { kill -0 "$up" 2>/dev/null; }

wait_until_ready() {
    until grep -qs '^Sidecall is ready' "$work/up"; do
        is_running || fail "$(tail -n 40 "$work/up")"
        sleep 0.1
    done
}

# SIPp sends no audio: all that rtpengine relays comes from the bot.
call_the_bot() {
    inside sipp -sn uac -s bot -m 1 -d ${CALL_SECONDS}000 -nostdin -timeout 20s -timeout_error 127.0.0.1:5060 \
        >"$work/sipp" 2>&1 || fail "$(tail -n 60 "$work/sipp" "$work/up")"
    grep '^bot .*| call from' "$work/up" || fail "the bot saw no call"
    ! grep '^bot .*| error' "$work/up" || fail "the bot was told of an error"
    local packets
    packets=$(inside .venv/bin/python -c 'import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:22225/metrics").read().decode())' |
        awk '/^rtpengine_packets_total{type="userspace"}/ { print $2 }')
    echo "$packets RTP packets came from the bot"
    [ "$packets" -ge $((CALL_SECONDS * FRAMES_PER_SECOND * 9 / 10)) ] || fail "that is too few for $CALL_SECONDS s"
}

# Ctrl-C reaches make as well, which then ends by that signal. Here only its child gets it, so that make ends with
# the child's status.
interrupt() {
    # shellcheck disable=SC2016 # expanded inside
    inside sh -c 'make=$(cat /root/make.pid); kill -s INT $(cat "/proc/$make/task/$make/children")'
    for _ in {1..50}; do
        is_running || return 0
        sleep 0.1
    done
    fail "still running after 5 s: $(tail -n 20 "$work/up")"
}

processes() { docker top "$container" -eo pid,args; }

nothing_is_left() {
    local ports sockets
    processes | diff "$work/processes" - || fail "processes are left"
    # All UDP sockets, and TCP sockets that listen (0A).
    ports=$(inside awk 'FNR > 1 && (FILENAME ~ /udp/ || $4 == "0A")' /proc/net/udp /proc/net/tcp)
    [ -z "$ports" ] || fail "ports are left: $ports"
    sockets=$(inside find run -type s)
    [ -z "$sockets" ] || fail "sockets are left: $sockets"
}

git_is_clean() {
    local changes
    changes=$(inside git status --short)
    [ -z "$changes" ] || fail "changed: $changes"
}

step "fresh container" start_container
container=$(<"$work/container")
step "apt-get install git make" install_git_and_make
step "git clone" clone
if [ "$1" = test ]; then
    shift
    # CI: a test that lacks something fails instead of being skipped.
    step "make test" inside env CI=1 make test ARGS="${*@Q}"
    step "git status" git_is_clean
    exit
fi

processes >"$work/processes"
make_up &
up=$!
step "make up, until it is ready" wait_until_ready
step "apt-get install sip-tester" install sip-tester
step "a call of $CALL_SECONDS s, answered" call_the_bot
step "SIGINT" interrupt
wait $up || fail "make up ended with $?"
step "nothing is left" nothing_is_left
step "make setup again" inside make setup
step "git status" git_is_clean
