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

/* GELU(first half) * second half of the convolved ring, for row y of the tile; `hidden` channels in whole vectors. */
static TARGET void NAME(gate_row)(const struct ring *r, const float *taps, long hidden, long y, float *gated) {
    const long outputs = 2 * hidden, pixel = NAME(ring_pixel)(r);
    const float *rows[3] = {NAME(ring_row)(r, y - 1), NAME(ring_row)(r, y), NAME(ring_row)(r, y + 1)};
    for (long c = 0; c < hidden; c += LANES) {
        VF first[9], second[9];
        for (int t = 0; t < 9; t++) {
            first[t] = NAME(load)(taps + t * outputs + c, LANES);
            second[t] = NAME(load)(taps + t * outputs + hidden + c, LANES);
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

/* What the hidden channels [from, from + s->chunk) add to columns [left, left + columns) of rows [top, bottom) of an
 * image. */
static TARGET void NAME(add_chunk)(
    const struct feed_forward *s, long b, long top, long bottom, long left, long from, float *memory) {
    const long image = b * s->height * s->width * s->channels, outputs = PADDED(s->channels),
               most = PADDED(s->chunk), beyond = PADDED(s->hidden) - from, hidden = most < beyond ? most : beyond,
               inputs = s->hidden - from < s->chunk ? s->hidden - from : s->chunk;
    const long columns = left + s->tile < s->width ? s->tile : s->width - left, rounded = ROUNDED(s->tile + 2);
    float *gated = memory, *result = gated + rounded * most, *normalised = result + rounded * outputs;
    const struct ring r = {
        s->height,
        s->width,
        s->channels,
        s->x + image,
        s->norm_weight,
        s->norm_bias,
        {s->channels, 2 * hidden / LANES,
            s->project_in + matrix_floats(s->channels, 2 * from / LANES, LANES, s->parts), NULL, s->parts},
        left,
        columns,
        normalised,
        normalised + rounded * s->channels,
    };
    const struct matrix project_out = {inputs, outputs / LANES,
        s->project_out + matrix_floats(from, outputs / LANES, LANES, s->parts), NULL, s->parts};
    const int is_large = NAME(wants_stream)(s->out, s->batch * s->height * s->width, s->channels),
              streams = is_large && s->hidden <= s->chunk;
    NAME(fill)(&r, top - 1);
    NAME(fill)(&r, top);
    for (long y = top; y < bottom; y++) {
        NAME(fill)(&r, y + 1);
        NAME(gate_row)(&r, s->taps + 18 * from, hidden, y, gated);
        NAME(product)(&project_out, columns, gated, hidden, result, outputs);
        const long start = image + (y * s->width + left) * s->channels;
        if (streams)
            NAME(stream_row)(s->x + start, result, outputs, columns, s->channels, s->out + start);
        else {
            if (y + 1 < bottom) NAME(ask_to_write)(s->out + start + s->width * s->channels, columns * s->channels);
            NAME(add_row)((from ? s->out : s->x) + start, result, outputs, columns, s->channels, s->out + start);
        }
    }
}

/* One task. Chunk after chunk of the hidden channels, so that their matrices stay in the cache for all rows. */
static TARGET void NAME(forward)(
    const struct feed_forward *s, long b, long top, long bottom, long left, float *memory) {
    for (long from = 0; from < s->hidden; from += s->chunk)
        NAME(add_chunk)(s, b, top, bottom, left, from, memory);
}

/* Floats of memory that a task needs. */
static long NAME(workspace)(const struct feed_forward *s) {
    const long hidden = PADDED(s->chunk);
    const long pixel = RING_PIXEL(2 * hidden), slack = PIXELS * pixel; /* the last pixels are convolved with others
                                                                          behind the ring */
    return ROUNDED(s->tile + 2) * (hidden + PADDED(s->channels) + s->channels + 3 * pixel) + slack;
}

#include "feed_forward_gradient_body.h"

#undef VF
#undef VI
