/* Vector arithmetic shared by the kernels: included inside each version, after NAME, TARGET and LANES are defined.
 *
 * VF and VI hold LANES floats or integers; the compiler lowers them to what the target has. */

#include <math.h>
#include <string.h>

#ifndef LEAST_STREAM
#define LEAST_STREAM (2L << 20) /* floats */
#endif

#undef EACH_LANE
#if LANES == 16
#define EACH_LANE(F, x) \
    F(0, x), F(1, x), F(2, x), F(3, x), F(4, x), F(5, x), F(6, x), F(7, x), F(8, x), F(9, x), F(10, x), F(11, x), \
        F(12, x), F(13, x), F(14, x), F(15, x)
#elif LANES == 8
#define EACH_LANE(F, x) F(0, x), F(1, x), F(2, x), F(3, x), F(4, x), F(5, x), F(6, x), F(7, x)
#else
#define EACH_LANE(F, x) F(0, x), F(1, x), F(2, x), F(3, x)
#endif

/* The vector whose lane l is lane F(l, x) of a and b, b's lanes counted on from a's. */
#undef SHUFFLE
#ifdef __clang__
#define SHUFFLE(a, b, F, x) __builtin_shufflevector(a, b, EACH_LANE(F, x))
#else
#define SHUFFLE(a, b, F, x) __builtin_shuffle(a, b, (VI){EACH_LANE(F, x)})
#endif

typedef float VF __attribute__((vector_size(LANES * 4)));
typedef int VI __attribute__((vector_size(LANES * 4)));
typedef unsigned short NAME(halves) __attribute__((vector_size(LANES * 2)));

static inline __attribute__((always_inline)) TARGET VF NAME(load)(const float *p, int lanes) {
    VF v = {0};
    memcpy(&v, p, (size_t)lanes * sizeof(float));
    return v;
}

static inline __attribute__((always_inline)) TARGET void NAME(store)(float *p, VF v, int lanes) {
    memcpy(p, &v, (size_t)lanes * sizeof(float));
}

/* Are so many rows of so many floats from p on to be streamed: are they whole cache lines, and more than stay in the
 * cache until they are read? */
static inline int NAME(wants_stream)(const float *p, long rows, long floats) {
    return (size_t)p % 64 == 0 && floats % 16 == 0 && rows * floats >= LEAST_STREAM;
}

/* Store past the cache, which else reads a line before it is written: for whole lines that are not read soon. */
static inline __attribute__((always_inline)) TARGET void NAME(stream)(float *p, VF v) {
#if defined(HAVE_X86_VERSIONS) && LANES == 16
    _mm512_stream_ps(p, (__m512)v);
#elif defined(HAVE_X86_VERSIONS) && LANES == 8
    _mm256_stream_ps(p, (__m256)v);
#else
    NAME(store)(p, v, LANES);
#endif
}

/* A vector of bfloat16, the upper halves of floats. */
static inline __attribute__((always_inline)) TARGET VF NAME(load_halves)(const unsigned short *p) {
    NAME(halves) v;
    memcpy(&v, p, sizeof v);
    return (VF)(__builtin_convertvector(v, VI) << 16);
}

/* Rounded to nearest, ties to even. */
static inline __attribute__((always_inline)) TARGET void NAME(store_halves)(unsigned short *p, VF x) {
    const VI bits = (VI)x, rounded = (bits + (0x7fff + (bits >> 16 & 1))) >> 16, is_number = x == x;
    const NAME(halves) v = __builtin_convertvector((rounded & is_number) | (0x7fc0 & ~is_number), NAME(halves));
    memcpy(p, &v, sizeof v);
}

/* `count` floats will be read soon: where memory is walked row by row, the processor does not foresee the next. */
static inline __attribute__((always_inline)) TARGET void NAME(ask_for)(const float *p, long count) {
#ifdef __GNUC__
    for (long i = 0; i < count; i += 16) __builtin_prefetch(p + i);
#endif
}

/* They will be written soon. */
static inline __attribute__((always_inline)) TARGET void NAME(ask_to_write)(const float *p, long count) {
#ifdef __GNUC__
    for (long i = 0; i < count; i += 16) __builtin_prefetch(p + i, 1);
#endif
}

/* The lanes of a where `mask` is set, the lanes of b where it is 0. */
static inline __attribute__((always_inline)) TARGET VF NAME(select)(VI mask, VF a, VF b) {
    return (VF)((mask & (VI)a) | (~mask & (VI)b));
}

/* The smaller one of x and a limit; NaN stays NaN. */
static inline __attribute__((always_inline)) TARGET VF NAME(least)(VF x, float limit) {
    return NAME(select)(x > limit, (VF){0} + limit, x);
}

static inline __attribute__((always_inline)) TARGET VF NAME(sqrt)(VF x) {
#if defined(HAVE_X86_VERSIONS) && LANES == 16
    return (VF)_mm512_sqrt_ps((__m512)x);
#elif defined(HAVE_X86_VERSIONS) && LANES == 8
    return (VF)_mm256_sqrt_ps((__m256)x);
#else
    for (int lane = 0; lane < LANES; lane++) x[lane] = sqrtf(x[lane]);
    return x;
#endif
}

/* Blocks of m lanes of a and b, added in pairs; those of a go to lanes l without l & m, those of b to lanes with. */
#define OWN_HALF(l, m) ((l) & (m) ? LANES + (l) : (l))
#define OTHER_HALF(l, m) ((l) & (m) ? LANES + (l) - (m) : (l) + (m))
#define ADD_HALVES(a, b, m) (SHUFFLE(a, b, OWN_HALF, m) + SHUFFLE(a, b, OTHER_HALF, m))

/* The sums over the lanes of v[0] ... v[LANES - 1], side by side; v is overwritten. */
static inline __attribute__((always_inline)) TARGET VF NAME(sums)(VF *v) {
#if LANES == 16
    for (int i = 0; i < 8; i++) v[i] = ADD_HALVES(v[i], v[i + 8], 8);
#endif
#if LANES >= 8
    for (int i = 0; i < 4; i++) v[i] = ADD_HALVES(v[i], v[i + 4], 4);
#endif
    for (int i = 0; i < 2; i++) v[i] = ADD_HALVES(v[i], v[i + 2], 2);
    return ADD_HALVES(v[0], v[1], 1);
}

#if defined(HAVE_X86_VERSIONS) && LANES == 16
/* 2^x within 2 units in the last place, for |x| < 1e26: 0, a denormal number or infinity where the result demands it.
 * (Beyond, an x that is a product, which the compiler does not round for f, can leave an f whose square is infinite.)
 * x = k / 32 + f with k the nearest integer; 2^((k mod 32) / 32) is looked up in two registers, 2^f is a polynomial,
 * minimax in relative error on [-1/64, 1/64] with p(0) = 1 (5e-8 before rounding), so a decay of exactly 1 stays 1. */
static inline __attribute__((always_inline)) TARGET VF NAME(exp2_finite)(VF x) {
    const float magic = 393216.0f; /* 1.5 * 2^18: adding it rounds to 32ths, and k stands in the low bits */
    const VF in_low_bits = x + magic, whole = in_low_bits - magic, f = x - whole;
    const VF root = (VF)_mm512_permutex2var_ps(
        _mm512_loadu_ps(ROOTS_OF_2), _mm512_castps_si512((__m512)in_low_bits), _mm512_loadu_ps(ROOTS_OF_2 + 16));
    const VF p = root * ((f * 0.240228459f + 0.693157315f) * f) + root;
    return (VF)_mm512_scalef_ps((__m512)p, (__m512)whole);
}

/* The same for any x: infinities give 0 and infinity, NaN stays NaN. */
static inline __attribute__((always_inline)) TARGET VF NAME(exp2)(VF x) {
    return NAME(exp2_finite)((VF)_mm512_max_ps(_mm512_set1_ps(-300), _mm512_min_ps(_mm512_set1_ps(300), (__m512)x)));
}
#else
/* 2^x within 2.2 units in the last place; 0 below the range of normal numbers, infinity above it.
 * x = k + f with k the nearest integer; 2^f is a polynomial, minimax in relative error on [-1/2, 1/2] with p(0) = 1
 * (9.1e-8 before rounding), so a decay of exactly 1 stays 1; 2^k is written into the exponent field. */
static inline __attribute__((always_inline)) TARGET VF NAME(exp2)(VF x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
    const VF shifted = x + magic;
    const VF f = x - (shifted - magic);
    VF p = f * 1.3264601772e-3f + 9.6715109281e-3f;
    p = p * f + 5.5507341232e-2f;
    p = p * f + 2.4022242137e-1f;
    p = p * f + 6.9314697745e-1f;
    p = p * f + 1.0f;
    VI k;
    memcpy(&k, &shifted, sizeof k);
    k -= 0x4B400000 - 127; /* the biased exponent */
    for (int lane = 0; lane < LANES; lane++) k[lane] = k[lane] > 255 ? 255 : k[lane];
    k <<= 23;
    VF power;
    memcpy(&power, &k, sizeof power);
    p *= power;
    memcpy(&k, &p, sizeof k);
    k &= ~(x < -127.0f); /* exactly 0 there, where k and f may be anything; NaN stays NaN */
    memcpy(&p, &k, sizeof p);
    return p;
}

static inline __attribute__((always_inline)) TARGET VF NAME(exp2_finite)(VF x) { return NAME(exp2)(x); }
#endif
