/* A logarithm for vectors: included inside each version, after vectors.h. */

/* log2(x) for normal x > 0, within 3e-7 of the result, also beside x = 1; for what is not above 0 anything finite.
 * x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), f exact; log2(1 + f) / f is a polynomial, minimax in relative
 * error there (2.6e-8 before rounding). */
static inline __attribute__((always_inline)) TARGET VF NAME(log2)(VF x) {
    VI bits;
    memcpy(&bits, &x, sizeof bits);
    const VI k = (bits - 0x3f3504f3) >> 23;
    const VI mantissa = bits - (k << 23), shifted = k + 0x4B400000; /* 1.5 * 2^23 + k, as a float */
    VF f, whole;
    memcpy(&f, &mantissa, sizeof f);
    memcpy(&whole, &shifted, sizeof whole);
    f -= 1.0f;
    whole -= 12582912.0f;
    VF p = f * 1.25837058e-01f - 2.07269758e-01f;
    p = p * f + 2.15715602e-01f;
    p = p * f - 2.38944814e-01f;
    p = p * f + 2.87916243e-01f;
    p = p * f - 3.60703677e-01f;
    p = p * f + 4.80910629e-01f;
    p = p * f - 7.21347332e-01f;
    p = p * f + 1.44269502e+00f;
    return p * f + whole;
}
