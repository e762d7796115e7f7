/* The GELU's distribution function: included inside each version, after vectors.h and reductions.h. */

/* The standard normal distribution function within 1.4e-7, rounding included: 1/2 and an odd polynomial, fitted for the
 * least greatest error on [-5.3, 5.3]; further out it keeps its last value. There is no exponential and no division
 * in it. */
static inline __attribute__((always_inline)) TARGET VF NAME(normal_cdf)(VF x) {
    x = NAME(select)(x > 5.3f, (VF){0} + 5.3f, x);
    x = NAME(select)(x < -5.3f, (VF){0} - 5.3f, x);
    const VF t = x * x * 7.1199715201e-02f - 1.0f;
    VF p = t * 2.8362416255e-04f - 7.6456348235e-04f;
    p = p * t + 7.3209868781e-04f;
    p = p * t - 1.0959546116e-03f;
    p = p * t + 3.1349046585e-03f;
    p = p * t - 5.8495425398e-03f;
    p = p * t + 8.8281857669e-03f;
    p = p * t - 1.3185478240e-02f;
    p = p * t + 1.8925830816e-02f;
    p = p * t - 2.5298299781e-02f;
    p = p * t + 3.2079521094e-02f;
    p = p * t - 3.9588931094e-02f;
    p = p * t + 4.9264163097e-02f;
    p = p * t - 6.6518505829e-02f;
    p = p * t + 1.3339256258e-01f;
    return x * p + 0.5f;
}

/* Its density. */
static inline __attribute__((always_inline)) TARGET VF NAME(normal_density)(VF x) {
    return NAME(exp2)(x * x * (-0.5f * LOG2_E)) * 0.39894228f;
}
