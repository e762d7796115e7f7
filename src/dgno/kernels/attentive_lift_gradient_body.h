/* One instruction set's version of the gradient of the first half of the attentive scan: included by
 * attentive_lift_gradient.c once per set, which defines NAME, TARGET and LANES.
 *
 * One walk down a tile. The ring holds three rows of the pixels' features before the gate, p, and beside them of the
 * routing's before its GELU; with row r + 1 of it row r goes back through the gate, and with row r row r - 1 goes back
 * through the convolution, the linear maps and the norm. Rows have whole vectors: channels are padded by zeros. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"
#include "reductions.h"
#include "gelu.h"
#include "products.h"
#include "outer_products.h"
#include "layer_norm.h"
#include "rings.h"

struct NAME(walk) {
    const struct lift_gradient *s;
    struct ring ring;               /* the tile and its context: one pixel at each side, where there is one */
    const struct tile *tile;
    long columns, shift;            /* of the tile, and pixels of context at its left */
    long hidden, inner, wide;       /* padded 2 channels and routing, and their sum */
    long sums;                      /* where those of the task begin */
    long held;                      /* pixels whose gradients g wait for the linear maps */
    float *normalised, *inputs;     /* three rows of the ring's normalised pixels; and those that wait */
    float *gz, *direct;             /* three rows each: gradients at the sigmoid's argument, and at p directly */
    float *g;                       /* gradients at p and at the routing's features before its GELU, side by side */
    float *gnormal, *rows, *logits; /* gradients at the norm's result, at the prompts' rows, and at the logits */
    float *features, *gfeatures;    /* of the routing, after its GELU */
};

/* Rows of the buffers: the tile, two pixels of context at each side, and what convolutions may touch beyond. */
static inline long NAME(row_pixels)(const struct lift_gradient *s) { return ROUNDED(s->tile + 4 + PIXELS); }

/* Pixels that may wait for the linear maps, and a row that is added to them. */
static inline long NAME(held_pixels)(const struct lift_gradient *s) { return ROUNDED(HELD) + NAME(row_pixels)(s); }

static inline long NAME(place)(long y) { return (y + 3) % 3; }

static inline float *NAME(gradient_row)(const struct NAME(walk) *w, float *rows, long y) {
    return rows + NAME(place)(y) * NAME(row_pixels)(w->s) * w->hidden;
}

static inline const float *NAME(normalised_row)(const struct NAME(walk) *w, long y) {
    return w->normalised + NAME(place)(y) * NAME(row_pixels)(w->s) * w->s->channels;
}

/* Row y into the ring. */
static TARGET void NAME(next)(const struct NAME(walk) *w, long y) {
    struct ring r = w->ring;
    r.normalised = (float *)NAME(normalised_row)(w, y);
    NAME(fill)(&r, y);
}

static inline __attribute__((always_inline)) TARGET VF NAME(load_some)(const float *p, long lanes) {
    return lanes >= LANES ? NAME(load)(p, LANES) : NAME(load)(p, (int)lanes);
}

/* Sums over rows of whole vectors, `stride` apart, added to `out`. */
static TARGET void NAME(add_rows)(const float *rows, long count, long stride, long width, float *out) {
    for (long c = 0; c < width; c += LANES) {
        VF total = NAME(load)(out + c, LANES);
        for (long i = 0; i < count; i++) total += NAME(load)(rows + i * stride + c, LANES);
        NAME(store)(out + c, total, LANES);
    }
}

/* Pixel i of the ring back through y = p * sigmoid(z): puts the gradients into rows and returns that at z. */
static inline __attribute__((always_inline)) TARGET VF NAME(through_gate)(VF z, VF p, VF gy, float *gz, float *direct) {
    const VF gate = 1.0f / (NAME(exp2)(z * -LOG2_E) + 1.0f), at_p = gy * gate, at_z = at_p * p * (1.0f - gate);
    NAME(store)(direct, at_p, LANES);
    NAME(store)(gz, at_z, LANES);
    return at_z;
}

/* Row y back through the gate; rows and columns of context are not counted in the sums for taps and bias. */
static TARGET void NAME(gate_row)(const struct NAME(walk) *w, long y) {
    const struct lift_gradient *s = w->s;
    const struct ring *r = &w->ring;
    const long hidden = w->hidden, given = 2 * s->channels, pixel = NAME(ring_pixel)(r);
    const int counts = y >= w->tile->top && y < w->tile->bottom;
    const float *rows[3] = {NAME(ring_row)(r, y - 1), NAME(ring_row)(r, y), NAME(ring_row)(r, y + 1)};
    float *gz = NAME(gradient_row)(w, w->gz, y), *direct = NAME(gradient_row)(w, w->direct, y);
    if (y < 0 || y >= s->height) {
        memset(gz, 0, (size_t)((r->columns + 2) * hidden) * sizeof(float));
        return;
    }
    const float *gy = s->gy + ((w->tile->image * s->height + y) * s->width + r->left) * given;
    float *gposition = s->gposition + w->sums, *gbias = s->gposition_bias + w->sums;
    memset(gz, 0, (size_t)hidden * sizeof(float));
    memset(gz + (r->columns + 1) * hidden, 0, (size_t)hidden * sizeof(float));
    for (long c = 0; c < hidden; c += LANES) {
        const VF bias = NAME(load)(s->position_bias + c, LANES);
        VF taps[9], gtaps[9] = {0}, total = {0};
        for (int t = 0; t < 9; t++) taps[t] = NAME(load)(s->position + t * hidden + c, LANES);
        for (long i = 0; i < r->columns; i += PIXELS) {
            VF sums[PIXELS];
            NAME(convolve)(rows, i * pixel + c, pixel, taps, sums);
            for (int p = 0; p < PIXELS; p++) {
                VF at_z = {0};
                if (i + p < r->columns) {
                    const long own = (i + p + 1) * hidden + c;
                    at_z = NAME(through_gate)(sums[p] + bias, NAME(load)(rows[1] + (i + p + 1) * pixel + c, LANES),
                        NAME(load_some)(gy + (i + p) * given + c, given - c), gz + own, direct + own);
                }
                const int inside = i + p >= w->shift && i + p < w->shift + w->columns;
                sums[p] = inside ? at_z : (VF){0};
            }
            if (!counts) continue;
            for (int p = 0; p < PIXELS; p++) total += sums[p];
            for (int dy = 0; dy < 3; dy++)
                for (int q = 0; q < PIXELS + 2; q++) {
                    const VF value = NAME(load)(rows[dy] + (i + q) * pixel + c, LANES);
                    for (int dx = 0; dx < 3; dx++)
                        if (q - dx >= 0 && q - dx < PIXELS) gtaps[3 * dy + dx] += sums[q - dx] * value;
                }
        }
        if (!counts) continue;
        for (int t = 0; t < 9; t++)
            NAME(store)(gposition + t * hidden + c, NAME(load)(gposition + t * hidden + c, LANES) + gtaps[t], LANES);
        NAME(store)(gbias + c, NAME(load)(gbias + c, LANES) + total, LANES);
    }
}

/* The gradient at p of the tile's row y: what came directly, and the transposed convolution of that at z. */
static TARGET void NAME(convolution_row)(const struct NAME(walk) *w, long y) {
    const long hidden = w->hidden;
    const float *rows[3] = {NAME(gradient_row)(w, w->gz, y - 1), NAME(gradient_row)(w, w->gz, y),
        NAME(gradient_row)(w, w->gz, y + 1)};
    const float *direct = NAME(gradient_row)(w, w->direct, y) + (w->shift + 1) * hidden;
    for (long c = 0; c < hidden; c += LANES) {
        VF taps[9];
        for (int t = 0; t < 9; t++) taps[t] = NAME(load)(w->s->position + (8 - t) * hidden + c, LANES);
        for (long i = 0; i < w->columns; i += PIXELS) {
            VF sums[PIXELS];
            NAME(convolve)(rows, (w->shift + i) * hidden + c, hidden, taps, sums);
            for (int p = 0; p < PIXELS; p++) /* the buffer has room beyond the tile */
                NAME(store)(w->g + (w->held + i + p) * w->wide + c,
                    sums[p] + NAME(load)(direct + (i + p) * hidden + c, LANES), LANES);
        }
    }
}

/* From the gradient at the prompt's row of every pixel to that at the logits, as if the rows were averaged with the
 * soft-max; and, added, that at the prompts that were chosen. */
static TARGET void NAME(logits_row)(const struct NAME(walk) *w, long first) {
    const struct lift_gradient *s = w->s;
    const struct matrix to_soft = {STATES, CLASSES / LANES, s->prompts, NULL, 0};
    float *gprompts = s->gprompts + w->sums, *gbias = s->glogits_bias + w->sums;
    memcpy(w->rows, s->grows + first * STATES, (size_t)(w->columns * STATES) * sizeof(float));
    NAME(product)(&to_soft, w->columns, w->rows, STATES, w->logits, CLASSES);
    VF bias[CLASSES / LANES];
    for (int v = 0; v < CLASSES / LANES; v++) bias[v] = NAME(load)(gbias + v * LANES, LANES);
    for (long i = 0; i < w->columns; i++) {
        const float *soft = s->soft + (first + i) * CLASSES;
        float *g = w->logits + i * CLASSES, *chosen = gprompts + s->classes[first + i] * STATES;
        VF total = {0};
        for (long c = 0; c < CLASSES; c += LANES) total += NAME(load)(soft + c, LANES) * NAME(load)(g + c, LANES);
        const VF average = NAME(sum)(total);
        for (int v = 0; v < CLASSES / LANES; v++) {
            const VF at_logit = NAME(load)(soft + v * LANES, LANES) * (NAME(load)(g + v * LANES, LANES) - average);
            NAME(store)(g + v * LANES, at_logit, LANES);
            bias[v] += at_logit;
        }
        for (int n = 0; n < STATES; n++) chosen[n] += w->rows[i * STATES + n];
    }
    for (int v = 0; v < CLASSES / LANES; v++) NAME(store)(gbias + v * LANES, bias[v], LANES);
}

/* The gradient at the routing's features before their GELU, of the tile's row y, from that at the prompts' rows. */
static TARGET void NAME(routing_row)(const struct NAME(walk) *w, long y) {
    const struct lift_gradient *s = w->s;
    const long first = (w->tile->image * s->height + y) * s->width + w->tile->left, inner = w->inner;
    const float *before = NAME(ring_row)(&w->ring, y) + (w->shift + 1) * NAME(ring_pixel)(&w->ring) + w->hidden;
    const struct factors factors = {s->routing, CLASSES, inner, CLASSES};
    const struct matrix to_features = {CLASSES, inner / LANES, s->logits_back, NULL, 0};
    NAME(logits_row)(w, first);
    NAME(product)(&to_features, w->columns, w->logits, CLASSES, w->gfeatures, inner);
    for (long i = 0; i < w->columns; i++)
        for (long c = 0; c < inner; c += LANES) {
            const VF z = NAME(load)(before + i * NAME(ring_pixel)(&w->ring) + c, LANES), cdf = NAME(normal_cdf)(z);
            const VF g = NAME(load)(w->gfeatures + i * inner + c, LANES);
            NAME(store)(w->features + i * inner + c, z * cdf, LANES);
            NAME(store)(w->g + (w->held + i) * w->wide + w->hidden + c, g * (cdf + z * NAME(normal_density)(z)), LANES);
        }
    NAME(outer_products)(&factors, w->columns, w->features, w->logits,
        s->glogits + w->sums, 0);
}

/* The pixels that wait, the rows above row `bottom`: through the linear maps and the norm to the gradient at x. */
static TARGET void NAME(flush)(struct NAME(walk) *w, long bottom) {
    const struct lift_gradient *s = w->s;
    const long channels = s->channels, padded = PADDED(channels), top = bottom - w->held / w->columns;
    const long first = (w->tile->image * s->height + top) * s->width + w->tile->left;
    const struct factors factors = {channels, w->wide, channels, w->wide};
    const struct matrix to_normal = {w->wide, padded / LANES, s->back, NULL, 0};
    NAME(add_rows)(w->g, w->held, w->wide, w->wide, s->gbias + w->sums);
    NAME(outer_products)(&factors, w->held, w->inputs, w->g, s->gweight + w->sums, 0);
    NAME(product)(&to_normal, w->held, w->g, w->wide, w->gnormal, padded);
    for (long i = 0; i < w->held; i++) {
        const long pixel = (first + i / w->columns * s->width + i % w->columns) * channels;
        NAME(normalise_backward)(s->x + pixel, w->gnormal + i * padded, channels, s->norm_weight, s->gx + pixel,
            s->gnorm_weight + w->sums, s->gnorm_bias + w->sums);
    }
    w->held = 0;
}

/* The tile's row y: the gradients at what the linear maps give, after those that wait. */
static TARGET void NAME(finish_row)(struct NAME(walk) *w, long y) {
    const long channels = w->s->channels;
    NAME(convolution_row)(w, y);
    if (w->s->soft)
        NAME(routing_row)(w, y);
    else
        for (long i = 0; i < w->columns; i++)
            memset(w->g + (w->held + i) * w->wide + w->hidden, 0, (size_t)w->inner * sizeof(float));
    memcpy(w->inputs + w->held * channels, NAME(normalised_row)(w, y) + (w->shift + 1) * channels,
        (size_t)(w->columns * channels) * sizeof(float));
    w->held += w->columns;
    if (w->held >= HELD || y + 1 == w->tile->bottom) NAME(flush)(w, y + 1);
}

/* Buffers one after the other; returns the floats in all. */
static long NAME(lay_out)(struct NAME(walk) *w, float *memory) {
    const struct lift_gradient *s = w->s;
    const long pixels = NAME(row_pixels)(s), held = NAME(held_pixels)(s);
    w->hidden = PADDED(2 * s->channels), w->inner = PADDED(s->routing), w->wide = w->hidden + w->inner;
    float *next = memory;
    w->ring.rows = next, next += 3 * pixels * RING_PIXEL(w->wide);
    w->gz = next, next += 3 * pixels * w->hidden;
    w->direct = next, next += 3 * pixels * w->hidden;
    w->g = next, next += held * w->wide;
    w->logits = next, next += pixels * CLASSES;
    w->features = next, next += pixels * w->inner;
    w->gfeatures = next, next += pixels * w->inner;
    w->gnormal = next, next += held * PADDED(s->channels);
    w->inputs = next, next += held * s->channels;
    w->rows = next, next += pixels * STATES;
    w->normalised = next, next += 3 * pixels * s->channels;
    return next - memory;
}

static long NAME(gradient_workspace)(const struct lift_gradient *s) {
    struct NAME(walk) w = {.s = s};
    return NAME(lay_out)(&w, NULL);
}

/* One tile; its sums are added to those of the task. */
static TARGET void NAME(gradient)(const struct lift_gradient *s, const struct tile *t, long task, float *memory) {
    struct NAME(walk) w = {.s = s, .tile = t, .sums = task * s->apart};
    NAME(lay_out)(&w, memory);
    const long right = t->left + s->tile < s->width ? t->left + s->tile : s->width;
    w.columns = right - t->left, w.shift = t->left > 0;
    w.ring = (struct ring){s->height, s->width, s->channels, s->x + t->image * s->height * s->width * s->channels,
        s->norm_weight, s->norm_bias, {s->channels, w.wide / LANES, s->forth, s->forth_bias, 0}, t->left - w.shift,
        w.columns + w.shift + (right < s->width), NULL, w.ring.rows};
    NAME(next)(&w, t->top - 2);
    NAME(next)(&w, t->top - 1);
    for (long y = t->top - 1; y <= t->bottom; y++) {
        NAME(next)(&w, y + 1);
        NAME(gate_row)(&w, y);
        if (y > t->top) NAME(finish_row)(&w, y - 1);
    }
}

#undef VF
#undef VI
