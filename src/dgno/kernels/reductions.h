/* Reductions over the lanes of a vector: included inside each version, after vectors.h. */

#ifndef SHUFFLED
#ifdef __clang__
#define SHUFFLED(v, order)                                                                                             \
    ({                                                                                                                 \
        __typeof__(v) moved;                                                                                           \
        for (int lane = 0; lane < LANES; lane++) moved[lane] = (v)[(order)[lane]];                                     \
        moved;                                                                                                         \
    })
#else
#define SHUFFLED(v, order) __builtin_shuffle(v, order)
#endif
#endif

#if LANES == 16
#define PARTNERS                                                                                                       \
    {8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7}, {4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11},    \
        {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13}, {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14}
#define ALL_LANES {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
#elif LANES == 8
#define PARTNERS {4, 5, 6, 7, 0, 1, 2, 3}, {2, 3, 0, 1, 6, 7, 4, 5}, {1, 0, 3, 2, 5, 4, 7, 6}
#define ALL_LANES {0, 1, 2, 3, 4, 5, 6, 7}
#else
#define PARTNERS {2, 3, 0, 1}, {1, 0, 3, 2}
#define ALL_LANES {0, 1, 2, 3}
#endif

/* The sum of all lanes, in every lane. */
static inline __attribute__((always_inline)) TARGET VF NAME(sum)(VF v) {
    const VI partners[] = {PARTNERS};
#pragma GCC unroll 4
    for (int i = 0; i < (int)(sizeof partners / sizeof *partners); i++) v += SHUFFLED(v, partners[i]);
    return v;
}

/* The greatest of all lanes, in every lane. */
static inline __attribute__((always_inline)) TARGET VF NAME(maximum)(VF v) {
    const VI partners[] = {PARTNERS};
#pragma GCC unroll 4
    for (int i = 0; i < (int)(sizeof partners / sizeof *partners); i++) {
        const VF other = SHUFFLED(v, partners[i]);
        v = NAME(select)(other > v, other, v);
    }
    return v;
}

/* 0, 1, 2, ... */
static inline __attribute__((always_inline)) TARGET VI NAME(lanes)(void) { return (VI)ALL_LANES; }

/* The least of all lanes. */
static inline __attribute__((always_inline)) TARGET int NAME(minimum)(VI v) {
    const VI partners[] = {PARTNERS};
#pragma GCC unroll 4
    for (int i = 0; i < (int)(sizeof partners / sizeof *partners); i++) {
        const VI other = SHUFFLED(v, partners[i]);
        const VI is_less = other < v;
        v = (is_less & other) | (~is_less & v);
    }
    return v[0];
}

/* The last `lanes` lanes, zeros before them. */
static inline __attribute__((always_inline)) TARGET VF NAME(keep_last)(VF v, int lanes) {
    const VI kept = NAME(lanes)() >= LANES - lanes;
    VI bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= kept;
    memcpy(&v, &bits, sizeof v);
    return v;
}
#undef PARTNERS
#undef ALL_LANES
