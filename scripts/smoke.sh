#!/bin/sh
# Submit a file, wait for its MD5 and compare: the same script for every place where urlsum runs.
#   scripts/smoke.sh BASE_URL FILE_URL MD5 [EMAIL]
# Prints each command and each new response. Exits with 0 if the MD5 is the expected one, otherwise with 1.
# SMOKE_SECONDS is how long the hashing may take, in seconds (default 120).
set -eu

[ $# -ge 3 ] || { sed -n '2,5s/^# *//p' "$0" >&2; exit 2; }
base=${1%/} url=$2 expected=$3 email=${4:-}
until=$(($(date +%s) + ${SMOKE_SECONDS:-120}))

fail() { echo "smoke: $*" >&2; exit 1; }

data="url=$url${email:+&email=$email}"
echo "\$ curl -X POST -d \"$data\" $base/submit"
answer=$(curl -sS --max-time 30 -X POST -d "$data" "$base/submit") || fail "no response from $base"
echo "$answer"
id=$(printf '%s' "$answer" | sed -n 's/.*"id":"\([0-9a-f-]*\)".*/\1/p')
[ -n "$id" ] || fail "the URL was not accepted"

echo "\$ curl -X GET $base/check?id=$id"
shown=''
while :; do
    answer=$(curl -sS --max-time 30 -X GET "$base/check?id=$id") || fail "no response from $base"
    [ "$answer" = "$shown" ] || echo "$answer"
    shown=$answer
    case $answer in
    *'"status":"done"'*) break ;;
    *'"status":"queued"'* | *'"status":"running"'*) ;;
    *) fail "the task ended without an MD5" ;;
    esac
    [ "$(date +%s)" -lt "$until" ] || fail "the task is still not done"
    sleep 0.5
done

md5=$(printf '%s' "$answer" | sed -n 's/.*"md5":"\([0-9a-f]*\)".*/\1/p')
[ "$md5" = "$expected" ] || fail "the MD5 is $md5, but $expected was expected"
echo "smoke: $md5 is the expected MD5"
