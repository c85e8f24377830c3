/* Coverage of code that gcc built with -fsanitize-coverage=trace-pc, for libFuzzer.

   libFuzzer counts what clang's instrumentation marks, and ignores gcc's. Here each place in
   the code counts in one of some 8-bit counters, as clang has it, and libFuzzer is told of
   these counters. Loaded with LD_PRELOAD, so that the instrumented code finds it. */

#include <stdint.h>

enum { COUNTERS = 1 << 15 };

static uint8_t counters[COUNTERS];
static uintptr_t places[COUNTERS][2]; /* libFuzzer wants a (place, flags) pair for each */

void __sanitizer_cov_trace_pc(void) {
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    counters[(place * 0x9E3779B97F4A7C15u) >> 49]++;
}

typedef void counters_init(uint8_t *start, uint8_t *end);
typedef void places_init(const uintptr_t *start, const uintptr_t *end);

void cover_tell(counters_init *tell_counters, places_init *tell_places) {
    for (uintptr_t at = 0; at < COUNTERS; at++)
        places[at][0] = at + 1;
    tell_counters(counters, counters + COUNTERS);
    tell_places(&places[0][0], &places[0][0] + 2 * COUNTERS);
}
