#!/bin/sh
# Runs a command with the runtime of the sanitizers, and with the extension that was built for
# them in build/sanitized (make sanitize) in the place of the installed one.
#
# Python's own allocator would hide what is read or written past the end of an object, so malloc
# serves it. Python itself lets go of little at its end: leaks are not looked for.
set -eu
cd "$(dirname "$0")/../.."
build="$PWD/build/sanitized"
export LD_PRELOAD="$build/cover.so $(${CC:-gcc} -print-file-name=libasan.so)"
export ASAN_OPTIONS="detect_leaks=0:verify_asan_link_order=0:quarantine_size_mb=64:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export PYTHONMALLOC=malloc GEODNS_TEST_BUILD="$build"
exec "$@"
