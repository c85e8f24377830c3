/* Coverage of code that gcc built with -fsanitize-coverage=trace-pc, for libFuzzer.

   libFuzzer counts what clang's instrumentation marks, and ignores gcc's. Here each place in
   the code counts in one of some 8-bit counters, as clang has it, and libFuzzer is told of
   these counters. Loaded with LD_PRELOAD before AddressSanitizer, whose empty functions for
   coverage would hide those of libFuzzer from atheris: they are led on from here. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

enum { COUNTERS = 1 << 15 };

uint8_t cover_counters[COUNTERS]; /* merge.py reads them */
static uintptr_t places[COUNTERS][2]; /* libFuzzer wants a (place, flags) pair for each */

void __sanitizer_cov_trace_pc(void) {
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    cover_counters[(place * 0x9E3779B97F4A7C15u) >> 49]++;
}

typedef void function(uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static function *find(const char *name) {
    const char *path = getenv("GEODNS_LIBFUZZER");
    void *library = path ? dlopen(path, RTLD_LAZY) : NULL;
    return library ? (function *)dlsym(library, name) : NULL;
}

/* The last call must stay a jump (-O2): libFuzzer looks at whom it returns to. */
#define LEAD_ON(name)                                                         \
    void name(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d) {           \
        static function *real;                                                \
        if (real == NULL && (real = find(#name)) == NULL) return;             \
        real(a, b, c, d);                                                     \
    }

LEAD_ON(__sanitizer_cov_8bit_counters_init)
LEAD_ON(__sanitizer_cov_pcs_init)
LEAD_ON(__sanitizer_cov_trace_cmp8)
LEAD_ON(__sanitizer_cov_trace_const_cmp8)
LEAD_ON(__sanitizer_weak_hook_memcmp)

void cover_tell(void) {
    for (uintptr_t at = 0; at < COUNTERS; at++)
        places[at][0] = at + 1;
    uintptr_t start = (uintptr_t)cover_counters, first = (uintptr_t)places;
    __sanitizer_cov_8bit_counters_init(start, start + sizeof cover_counters, 0, 0);
    __sanitizer_cov_pcs_init(first, first + sizeof places, 0, 0);
}
