/* One instruction set's version of the gated depth-wise convolutions: included by depthwise.c once per set.
 *
 * The includer defines NAME, TARGET and LANES as for vectors.h. A block is LANES neighbouring channels; the last block
 * of a map ends at its last channel and overlaps the one before, so that every load is whole. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"
#include "reductions.h"
#include "gelu.h"

static inline __attribute__((always_inline)) TARGET VF NAME(whole)(const float *p) { return NAME(load)(p, LANES); }

/* Is a neighbour of (y, x) outside the map? */
static inline __attribute__((always_inline)) TARGET int NAME(at_edge)(const struct gate *s, long y, long x) {
    return y == 0 || y == s->height - 1 || x == 0 || x == s->width - 1;
}

static inline __attribute__((always_inline)) TARGET int NAME(is_inside)(const struct gate *s, long y, long x) {
    return y >= 0 && y < s->height && x >= 0 && x < s->width;
}

/* The convolution of one block of channels at (y, x); the map is zero outside. */
static inline __attribute__((always_inline)) TARGET VF NAME(convolve)(
        const struct gate *s, const float *map, const VF *taps, long y, long x, int edge) {
    VF sum = {0};
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++)
            if (!edge || NAME(is_inside)(s, y + dy, x + dx))
                sum += taps[3 * dy + dx + 4] * NAME(whole)(map + ((y + dy) * s->width + x + dx) * s->channels);
    return sum;
}

static inline __attribute__((always_inline)) TARGET void NAME(load_taps)(const struct gate *s, long c, VF *taps) {
    for (int t = 0; t < 9; t++) taps[t] = NAME(whole)(s->weight + t * s->channels + c);
}

/* One pixel of the result for one block. With `gelu`, the map has twice the channels of the result. */
static inline __attribute__((always_inline)) TARGET VF NAME(forward_pixel)(
        const struct gate *s, const float *map, const VF *first, const VF *second, VF bias, long y, long x,
        int gelu, int edge) {
    const VF z = NAME(convolve)(s, map, first, y, x, edge);
    if (!gelu) {
        const VF e = NAME(exp2)((z + bias) * -LOG2_E);
        return NAME(whole)(map + (y * s->width + x) * s->channels) / (e + 1.0f);
    }
    return z * NAME(normal_cdf)(z) * NAME(convolve)(s, map + s->channels / 2, second, y, x, edge);
}

static inline __attribute__((always_inline)) TARGET void NAME(forward_row)(
        const struct gate *s, long b, long y, long c, int gelu) {
    const long out = gelu ? s->channels / 2 : s->channels;
    const float *map = s->x + b * s->height * s->width * s->channels + c;
    VF first[9], second[9] = {0}, bias = {0};
    NAME(load_taps)(s, c, first);
    if (gelu) NAME(load_taps)(s, c + out, second);
    if (!gelu) bias = NAME(whole)(s->bias + c);
    for (long x = 0; x < s->width; x++) {
        const VF result = NAME(at_edge)(s, y, x) ? NAME(forward_pixel)(s, map, first, second, bias, y, x, gelu, 1)
                                                 : NAME(forward_pixel)(s, map, first, second, bias, y, x, gelu, 0);
        NAME(store)(s->out + ((b * s->height + y) * s->width + x) * out + c, result, LANES);
    }
}

struct NAME(gradients) { /* of one pixel: at the convolved halves, and directly at x */
    VF first, second, direct;
};

static inline __attribute__((always_inline)) TARGET struct NAME(gradients) NAME(gate_backward)(
        const struct gate *s, const float *map, const VF *first, const VF *second, VF bias, VF g, long y, long x,
        int gelu, int edge) {
    const VF z = NAME(convolve)(s, map, first, y, x, edge);
    struct NAME(gradients) r = {{0}, {0}, {0}};
    if (gelu) {
        const VF z2 = NAME(convolve)(s, map + s->channels / 2, second, y, x, edge), cdf = NAME(normal_cdf)(z);
        r.first = g * z2 * (cdf + z * NAME(normal_density)(z));
        r.second = g * z * cdf;
    } else {
        const VF gate = 1.0f / (NAME(exp2)((z + bias) * -LOG2_E) + 1.0f);
        r.direct = g * gate;
        r.first = r.direct * NAME(whole)(map + (y * s->width + x) * s->channels) * (1.0f - gate);
    }
    return r;
}

/* From the gradients at one convolved block, rows [top - 1, bottom + 1) of a buffer (zero outside the map): that of x
 * in rows [top, bottom), added to `direct`, and the strip's part of the weights' and the bias's. */
static inline __attribute__((always_inline)) TARGET void NAME(convolution_backward)(
        const struct gate *s, long b, long strip, long c, const VF *gz, const VF *direct) {
    const long top = strip % s->strips * s->strip_rows, w = s->width;
    const long bottom = top + s->strip_rows < s->height ? top + s->strip_rows : s->height;
    const float *map = s->x + b * s->height * w * s->channels + c;
    VF taps[9], gtaps[9] = {0}, gbias = {0};
    NAME(load_taps)(s, c, taps);
    for (long y = top; y < bottom; y++)
        for (long x = 0; x < w; x++) {
            const VF *here = gz + (y - top + 1) * w + x;
            VF gx = {0};
            if (direct) gx = direct[(y - top + 1) * w + x];
            if (NAME(at_edge)(s, y, x)) {
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++)
                        if (NAME(is_inside)(s, y + dy, x + dx)) {
                            gx += taps[4 - 3 * dy - dx] * here[dy * w + dx];
                            gtaps[3 * dy + dx + 4] += *here * NAME(whole)(map + ((y + dy) * w + x + dx) * s->channels);
                        }
            } else {
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++) {
                        gx += taps[4 - 3 * dy - dx] * here[dy * w + dx];
                        gtaps[3 * dy + dx + 4] += *here * NAME(whole)(map + ((y + dy) * w + x + dx) * s->channels);
                    }
            }
            gbias += *here;
            NAME(store)(s->gx + ((b * s->height + y) * w + x) * s->channels + c, gx, LANES);
        }
    for (int t = 0; t < 9; t++) NAME(store)(s->gweight + (strip * 9 + t) * s->channels + c, gtaps[t], LANES);
    if (s->gbias) NAME(store)(s->gbias + strip * s->channels + c, gbias, LANES);
}

/* One strip of rows and one block. `memory`, aligned to vectors, holds two buffers of strip_rows + 2 rows. */
static inline __attribute__((always_inline)) TARGET void NAME(backward_strip)(
        const struct gate *s, long strip, long c, void *memory, int gelu) {
    const long b = strip / s->strips, top = strip % s->strips * s->strip_rows;
    const long w = s->width, size = (s->strip_rows + 2) * w;
    const long out = gelu ? s->channels / 2 : s->channels;
    const float *map = s->x + b * s->height * w * s->channels + c;
    VF *gz = memory, *other = gz + size;
    VF first[9], second[9] = {0}, bias = {0};
    NAME(load_taps)(s, c, first);
    if (gelu) NAME(load_taps)(s, c + out, second);
    if (!gelu) bias = NAME(whole)(s->bias + c);
    for (long row = 0; row < s->strip_rows + 2; row++) {
        const long y = top - 1 + row;
        if (y < 0 || y >= s->height) {
            memset(gz + row * w, 0, (size_t)w * sizeof(VF));
            memset(other + row * w, 0, (size_t)w * sizeof(VF));
            continue;
        }
        for (long x = 0; x < w; x++) {
            const VF g = NAME(whole)(s->gout + ((b * s->height + y) * w + x) * out + c);
            const struct NAME(gradients) r = NAME(at_edge)(s, y, x)
                ? NAME(gate_backward)(s, map, first, second, bias, g, y, x, gelu, 1)
                : NAME(gate_backward)(s, map, first, second, bias, g, y, x, gelu, 0);
            gz[row * w + x] = r.first;
            other[row * w + x] = gelu ? r.second : r.direct;
        }
    }
    NAME(convolution_backward)(s, b, strip, c, gz, gelu ? NULL : other);
    if (gelu) NAME(convolution_backward)(s, b, strip, c + out, other, NULL);
}

TARGET static void NAME(forward)(const struct gate *s, long b, long y, long c) {
    if (s->bias) NAME(forward_row)(s, b, y, c, 0);
    else NAME(forward_row)(s, b, y, c, 1);
}

TARGET static void NAME(backward)(const struct gate *s, long strip, long c, void *memory) {
    if (s->bias) NAME(backward_strip)(s, strip, c, memory, 0);
    else NAME(backward_strip)(s, strip, c, memory, 1);
}

#undef VF
#undef VI
