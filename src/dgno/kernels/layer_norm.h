/* Layer norm over the channels of one pixel: biased variance, epsilon inside the root; LANES channels at least.
 * Included inside each version, after vectors.h and reductions.h. The last vector ends at the last channel and overlaps
 * the one before. */

#ifndef LAYER_NORM_H
#define LAYER_NORM_H
#define NORM_EPSILON 1e-5f
#endif

struct NAME(moments) {
    VF mean;
    float scale; /* 1 / sqrt(variance + epsilon) */
};

static inline __attribute__((always_inline)) TARGET struct NAME(moments) NAME(moments_of)(
    const float *x, long channels) {
    const long whole = channels / LANES * LANES, last = channels - LANES;
    const int rest = (int)(channels - whole);
    VF total = {0}, squares = {0};
    for (long c = 0; c < whole; c += LANES) total += NAME(load)(x + c, LANES);
    if (rest) total += NAME(keep_last)(NAME(load)(x + last, LANES), rest);
    const VF mean = NAME(sum)(total) * (1.0f / (float)channels);
    for (long c = 0; c < whole; c += LANES) {
        const VF centred = NAME(load)(x + c, LANES) - mean;
        squares += centred * centred;
    }
    if (rest) {
        const VF centred = NAME(keep_last)(NAME(load)(x + last, LANES) - mean, rest);
        squares += centred * centred;
    }
    return (struct NAME(moments)){mean, 1.0f / sqrtf(NAME(sum)(squares)[0] / (float)channels + NORM_EPSILON)};
}

/* Returns the factor by which the centred pixel was scaled, before the weight. */
static inline __attribute__((always_inline)) TARGET float NAME(normalise)(
    const float *x, long channels, const float *weight, const float *bias, float *out) {
    const struct NAME(moments) m = NAME(moments_of)(x, channels);
    for (long c = 0; c < channels; c += LANES) {
        const long i = c < channels - LANES ? c : channels - LANES;
        const VF normal = (NAME(load)(x + i, LANES) - m.mean) * m.scale;
        NAME(store)(out + i, normal * NAME(load)(weight + i, LANES) + NAME(load)(bias + i, LANES), LANES);
    }
    return m.scale;
}

/* The same for `count` pixels that follow each other: LANES at a time, the sums of which are taken together, in the
 * same order as those of one. What stands `ahead` floats further on will be asked for next. */
static TARGET void NAME(normalise_pixels)(
    const float *x, long count, long channels, const float *weight, const float *bias, float *out, long ahead) {
    const long whole = channels / LANES * LANES, last = channels - LANES;
    const int rest = (int)(channels - whole);
    const float share = 1.0f / (float)channels;
    for (; count >= LANES; count -= LANES, x += LANES * channels, out += LANES * channels) {
        VF totals[LANES], squares[LANES];
        float means[LANES], scales[LANES];
        NAME(ask_for)(x + ahead, LANES * channels);
        for (long p = 0; p < LANES; p++) {
            const float *pixel = x + p * channels;
            totals[p] = (VF){0};
            for (long c = 0; c < whole; c += LANES) totals[p] += NAME(load)(pixel + c, LANES);
            if (rest) totals[p] += NAME(keep_last)(NAME(load)(pixel + last, LANES), rest);
        }
        NAME(store)(means, NAME(sums)(totals) * share, LANES);
        for (long p = 0; p < LANES; p++) {
            const float *pixel = x + p * channels;
            const float mean = means[p];
            squares[p] = (VF){0};
            for (long c = 0; c < whole; c += LANES) {
                const VF centred = NAME(load)(pixel + c, LANES) - mean;
                squares[p] += centred * centred;
            }
            if (rest) {
                const VF centred = NAME(keep_last)(NAME(load)(pixel + last, LANES) - mean, rest);
                squares[p] += centred * centred;
            }
        }
        const VF variances = NAME(sums)(squares) / (float)channels;
        NAME(store)(scales, 1.0f / NAME(sqrt)(variances + NORM_EPSILON), LANES);
        for (long c = 0; c < channels; c += LANES) {
            const long i = c < last ? c : last;
            const VF w = NAME(load)(weight + i, LANES), b = NAME(load)(bias + i, LANES);
            for (long p = 0; p < LANES; p++) {
                const VF normal = (NAME(load)(x + p * channels + i, LANES) - means[p]) * scales[p];
                NAME(store)(out + p * channels + i, normal * w + b, LANES);
            }
        }
    }
    for (; count > 0; count--, x += channels, out += channels) NAME(normalise)(x, channels, weight, bias, out);
}

/* Back through the norm: from x and the gradient g at the result to the gradient at x, put into `gx` (which may be g),
 *
 *     scale (w g - mean(w g) - n mean(n w g)),      n the normalised x,
 *
 * and n g and g, added to the gradients at weight and bias. */
static inline __attribute__((always_inline)) TARGET void NAME(normalise_backward)(const float *x, const float *g,
    long channels, const float *weight, float *gx, float *gweight, float *gbias) {
    const struct NAME(moments) m = NAME(moments_of)(x, channels);
    const long whole = channels / LANES * LANES, last = channels - LANES;
    const int rest = (int)(channels - whole);
    VF direct = {0}, along = {0};
    for (long c = 0; c < channels; c += LANES) {
        const int masked = c == whole;
        const long i = masked ? last : c;
        VF at_result = NAME(load)(g + i, LANES);
        if (masked) at_result = NAME(keep_last)(at_result, rest);
        const VF normal = (NAME(load)(x + i, LANES) - m.mean) * m.scale;
        const VF at_normal = at_result * NAME(load)(weight + i, LANES);
        direct += at_normal;
        along += at_normal * normal;
        NAME(store)(gweight + i, NAME(load)(gweight + i, LANES) + at_result * normal, LANES);
        NAME(store)(gbias + i, NAME(load)(gbias + i, LANES) + at_result, LANES);
    }
    const VF mean_direct = NAME(sum)(direct) * (1.0f / (float)channels),
             mean_along = NAME(sum)(along) * (1.0f / (float)channels);
    const VF last_g = NAME(load)(g + last, LANES); /* before its overlap with the vector before is overwritten */
    for (long c = 0; c < channels; c += LANES) {
        const long i = c == whole ? last : c;
        const VF normal = (NAME(load)(x + i, LANES) - m.mean) * m.scale,
                 at_normal = (i == last ? last_g : NAME(load)(g + i, LANES)) * NAME(load)(weight + i, LANES);
        NAME(store)(gx + i, (at_normal - mean_direct - normal * mean_along) * m.scale, LANES);
    }
}
