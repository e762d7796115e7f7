/* Vector arithmetic shared by the kernels: included inside each version, after NAME, TARGET and LANES are defined.
 *
 * VF and VI hold LANES floats or integers; the compiler lowers them to what the target has. */

typedef float VF __attribute__((vector_size(LANES * 4)));
typedef int VI __attribute__((vector_size(LANES * 4)));

static inline __attribute__((always_inline)) TARGET VF NAME(load)(const float *p, int lanes) {
    VF v = {0};
    memcpy(&v, p, (size_t)lanes * sizeof(float));
    return v;
}

static inline __attribute__((always_inline)) TARGET void NAME(store)(float *p, VF v, int lanes) {
    memcpy(p, &v, (size_t)lanes * sizeof(float));
}

/* 2^x within 2 units in the last place; 0 below the range of normal numbers, infinity above it.
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
