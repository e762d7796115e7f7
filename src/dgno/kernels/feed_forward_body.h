/* One instruction set's version of the gated feed-forward network: included by feed_forward.c once per set, which
 * defines NAME, TARGET and LANES. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"
#include "reductions.h"
#include "gelu.h"
#include "products.h"
#include "outer_products.h"
#include "layer_norm.h"
#include "rings.h"

/* GELU(first half) * second half of the convolved ring, for row y of the tile. */
static TARGET void NAME(gate_row)(const struct feed_forward *s, const struct ring *r, long y, float *gated) {
    const long hidden = PADDED(s->hidden), outputs = 2 * hidden, pixel = NAME(ring_pixel)(r);
    const float *rows[3] = {NAME(ring_row)(r, y - 1), NAME(ring_row)(r, y), NAME(ring_row)(r, y + 1)};
    for (long c = 0; c < hidden; c += LANES) {
        VF first[9], second[9];
        for (int t = 0; t < 9; t++) {
            first[t] = NAME(load)(s->taps + t * outputs + c, LANES);
            second[t] = NAME(load)(s->taps + t * outputs + hidden + c, LANES);
        }
        for (long i = 0; i < r->columns; i += PIXELS) {
            VF a[PIXELS], b[PIXELS];
            NAME(convolve)(rows, i * pixel + c, pixel, first, a);
            NAME(convolve)(rows, i * pixel + hidden + c, pixel, second, b);
            for (int p = 0; p < PIXELS; p++)
                NAME(store)(gated + (i + p) * hidden + c, a[p] * NAME(normal_cdf)(a[p]) * b[p], LANES);
        }
    }
}

/* One task: columns [left, left + columns) of rows [top, bottom) of an image. */
static TARGET void NAME(forward)(
    const struct feed_forward *s, long b, long top, long bottom, long left, float *memory) {
    const long hidden = PADDED(s->hidden), image = b * s->height * s->width * s->channels;
    const long columns = left + s->tile < s->width ? s->tile : s->width - left, rounded = ROUNDED(s->tile + 2);
    float *gated = memory, *result = gated + rounded * hidden, *normalised = result + rounded * PADDED(s->channels);
    const struct ring r = {
        s->height,
        s->width,
        s->channels,
        s->x + image,
        s->norm_weight,
        s->norm_bias,
        {s->channels, 2 * hidden / LANES, s->project_in, NULL, s->half},
        left,
        columns,
        normalised,
        normalised + rounded * s->channels,
    };
    const struct matrix project_out = {s->hidden, PADDED(s->channels) / LANES, s->project_out, NULL, s->half};
    NAME(fill)(&r, top - 1);
    NAME(fill)(&r, top);
    for (long y = top; y < bottom; y++) {
        NAME(fill)(&r, y + 1);
        NAME(gate_row)(s, &r, y, gated);
        NAME(product)(&project_out, columns, gated, hidden, result, PADDED(s->channels));
        const long start = image + (y * s->width + left) * s->channels;
        if (y + 1 < bottom) NAME(ask_to_write)(s->out + start + s->width * s->channels, columns * s->channels);
        NAME(add_row)(s->x + start, result, PADDED(s->channels), columns, s->channels, s->out + start);
    }
}

/* Floats of memory that a task needs. */
static long NAME(workspace)(const struct feed_forward *s) {
    const long hidden = PADDED(s->hidden);
    const long pixel = RING_PIXEL(2 * hidden), slack = PIXELS * pixel; /* the last pixels are convolved with others
                                                                          behind the ring */
    return ROUNDED(s->tile + 2) * (hidden + PADDED(s->channels) + s->channels + 3 * pixel) + slack;
}

#include "feed_forward_gradient_body.h"

#undef VF
#undef VI
