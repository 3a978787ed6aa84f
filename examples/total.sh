#!/bin/sh
# total: adds up the results of the jobs that it waited for, number by number. Needs: jq.
#
#   {"task": "total", "after": ["ID of a wordcount", "ID of another"]}
#   gives   {"jobs": 2, "lines": 7, "words": 31, "bytes": 180}
#
# It is the example of a task that reads what the jobs before it returned: the file $FORKPOOL_JOB_INPUTS is a JSON array
# of {"id", "task", "state", "result"}, in the order of "after". To use it, copy it into the tasks folder.
# Exit 0: success; 65: failed for good; anything else: may be retried.
set -u

fail() {
    echo "total: $1" >&2
    exit "${2:-65}"
}

command -v jq >/dev/null || fail 'jq is not installed (Debian: apt-get install jq)' 69
[ -n "${FORKPOOL_JOB_INPUTS-}" ] || fail 'there is nothing to add up: submit it with "after": ["ID", …]'

# A batch has no result of its own; one that was too large for jobs.max_inputs is not there.
lacking=$(jq -r 'map(select(.batch or (.result | type) != "object") | .id) | join(" ")' "$FORKPOOL_JOB_INPUTS") || exit 70
[ -z "$lacking" ] || fail "no object as result: $lacking"

jq -c '{jobs: length} + (map(.result | to_entries[] | select(.value | type == "number")) | group_by(.key)
       | map({key: .[0].key, value: map(.value) | add}) | from_entries)' "$FORKPOOL_JOB_INPUTS" || exit 70
