#!/bin/bash
# Sets up, checks and tests everything; prints how long each step took.
# The last line is pytest's own closing line. The exit status is that of the first step that failed.
# Arguments go to pytest; coverage is checked only without, for all tests.
set -uo pipefail
cd "$(dirname "$0")/.."

# Modules without input and output must be covered almost whole; shells around them are not measured here.
SANS_IO='control/sip/*,control/api/jsonrpc.py,control/api/models.py,control/console.py'
SANS_IO+=',control/calls/addresses.py,control/calls/pool.py,control/calls/registry.py,control/calls/routes.py,control/calls/trunks.py'
SANS_IO+=',control/kamailio/datagram.py,control/kamailio/events.py,control/rtpengine/ng.py,control/rtpengine/media.py'
SANS_IO+=',media/api/commands.py,media/api/encoding.py,media/api/events.py,media/api/fields.py,media/api/masking.py,media/api/options.py'
SANS_IO+=',control/rtpengine/stream.py,media/callquality.py,media/engine/*,media/engine/codecs/*,media/resampler.py,media/wav.py'
SANS_IO+=',control/webhooks/signature.py,media/records/cdr.py,media/records/dump.py,media/records/journal.py,media/records/schedule.py'
SANS_IO+=',media/session/play.py,media/session/player.py,media/speech/text.py,media/speech/hub/wire.py,media/speech/hub/tape.py,media/speech/timeline.py,media/speech/gate.py,media/speech/local/frames.py,media/speech/asr/sphinx/*,media/speech/tts/espeak_engine.py,media/speech/eou/*,media/session/bargein_policy.py'
SANS_IO+=',media/commands/*,media/api/spec/*,media/api/frames.py,media/api/gate.py,media/api/limits.py,media/api/iceservers.py,media/speech/sentences.py'
SANS_IO+=',control/calls/admissions.py,control/rtpengine/transfer.py,control/rtpengine/tap.py,control/rtpengine/profile.py,media/freshness.py,media/flights.py'
SANS_IO+=',media/speech/eou/endings.py,media/speech/eou/rule.py,media/speech/eou/transcript.py,media/session/bargein_policy.py'
COVERED_PERCENT=95
CLOSING='^(=+ )?([0-9]+ [a-z]+, )*([0-9]+ (passed|failed|error|errors|skipped|deselected|warnings?|xfailed|xpassed)|no tests ran).* in [0-9.]+s'

export PYTHONASYNCIODEBUG=1 COVERAGE_FILE=.cache/coverage
log=.cache/pytest.log
failed=0

step() {
    local name=$1 start=$EPOCHREALTIME status
    shift
    "$@"
    status=$?
    printf '== %-9s %s in %s s\n' "$name" "$([ $status = 0 ] && echo ok || echo "FAILED ($status)")" \
        "$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }")"
    if [ $failed = 0 ]; then failed=$status; fi
    return $status
}

# All but the closing line, which comes last of all.
run_pytest() {
    .venv/bin/coverage run -m pytest "$@" 2>&1 | tee "$log" | grep --line-buffered -vE "$CLOSING"
    return "${PIPESTATUS[0]}"
}

check_coverage() {
    .venv/bin/coverage report --include="$SANS_IO" --fail-under=$COVERED_PERCENT
}

step setup scripts/setup.sh test || exit
mkdir -p .cache
step lint make --no-print-directory lint
step pytest run_pytest "$@"
[ $# -gt 0 ] || step coverage check_coverage
grep -E "$CLOSING" "$log" | tail -n 1
exit $failed
