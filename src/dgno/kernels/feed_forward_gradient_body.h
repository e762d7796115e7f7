/* The gradient of the gated feed-forward network: included by feed_forward_body.h once per instruction set.
 *
 * Nothing is kept from the forward pass but x. With u = W_in LN(x), a and b the halves of its convolution, h the gate
 * GELU(a) b and g the gradient at the output, a tile walks down its strip of rows and has, at row y of u,
 *
 *     row y      u, in a ring of three rows
 *     row y - 1  a and b from u; at them g' b GELU'(a) and g' GELU(a) with g' = W_out^T g, in a second ring; h
 *     row y - 2  from those the gradient at u, the transposed convolution; then W_in^T of it, the norm's, plus g
 *
 * Rows and columns beside the tile are computed again: two of u, one of the convolution; sums for the gradients at the
 * weights count the tile's own pixels only. */

#ifndef FEED_FORWARD_GRADIENT_H
#define FEED_FORWARD_GRADIENT_H
#define BATCH 96 /* pixels, about, whose products are summed at once: few leave the vector units idle */
struct walk { /* down one strip of a tile */
    long image, left, columns; /* first entry of the image in the map; the tile's first column, and how many */
    long first, end;           /* of its columns and one beside it at each side, those that the map has */
    long top, bottom, batch;   /* its rows, and how many are summed at once */
    struct ring ring;          /* u: of a tile that is wider by a column at each side */
    float *normals;            /* (3, rounded, channels): LN(x) where the ring has u */
    float *convolved;          /* (3, rounded, ring pixel): the gradient at a and b, with a column beside the tile */
    float *g, *at_gated;       /* (rounded, channels), (rounded, padded): g and g', likewise */
    float *at_normal;          /* (batched, padded channels): the gradient at LN(x) */
    float *at_lifted;          /* (batched, 2 padded): that at u, its second half close behind the first */
    float *gated;              /* (batched, padded): h */
    float *normal_batch, *g_batch; /* (batched, channels): LN(x) and g, with which they are summed */
    float *norm_weight, *norm_bias, *project_in, *taps, *project_out; /* the task's sums, see `feed_forward` */
};
#endif

/* Columns of a row of the tile, with what lies beside it and what whole vectors add. */
static inline long NAME(gradient_columns)(const struct feed_forward *s) { return ROUNDED(s->tile + 7); }

/* Pixels of a batch, likewise: whole rows. */
static inline long NAME(batched)(const struct feed_forward *s) {
    return ROUNDED((s->tile > BATCH ? s->tile : BATCH) + 7);
}

/* The place of row y in its batch. */
static inline long NAME(place)(const struct walk *w, long y) {
    return y < w->top || y >= w->bottom ? 0 : (y - w->top) % w->batch;
}

/* Is row y the last of its batch? */
static inline int NAME(is_last)(const struct walk *w, long y) {
    return y == w->bottom - 1 || NAME(place)(w, y) == w->batch - 1;
}

/* Where row y of the gradient at the convolution stands. */
static inline float *NAME(convolved_row)(const struct feed_forward *s, const struct walk *w, long y) {
    return w->convolved + (y + 3) % 3 * NAME(gradient_columns)(s) * NAME(ring_pixel)(&w->ring);
}

/* Columns of `size` floats of a row that the map does not have: zeros. */
static inline void NAME(clear_beside)(const struct walk *w, float *row, long size) {
    memset(row, 0, (size_t)(w->first * size) * sizeof(float));
    memset(row + w->end * size, 0, (size_t)((w->columns + 2 - w->end) * size) * sizeof(float));
}

/* Where row y of LN(x) stands. */
static inline float *NAME(normals_row)(const struct feed_forward *s, const struct walk *w, long y) {
    return w->normals + (y + 3) % 3 * NAME(gradient_columns)(s) * s->channels;
}

/* g and g' = W_out^T g at row y of the map, with the columns beside the tile that there are. */
static TARGET void NAME(gradient_at_gated)(const struct feed_forward *s, struct walk *w, long y) {
    const long c = s->channels, hidden = PADDED(s->hidden), columns = w->end - w->first;
    const struct matrix back = {c, hidden / LANES, s->project_out_back, NULL, 0};
    float *g = w->g + w->first * c;
    memcpy(g, s->gout + w->image + (y * s->width + w->left - 1 + w->first) * c, (size_t)(columns * c) * sizeof(float));
    NAME(product)(&back, columns, g, c, w->at_gated + w->first * hidden, hidden);
}

/* Row y through the gate: h, and the gradient at both halves of the convolution. */
static TARGET void NAME(gate_back_row)(const struct feed_forward *s, struct walk *w, long y) {
    const long hidden = PADDED(s->hidden), outputs = 2 * hidden, pixel = NAME(ring_pixel)(&w->ring);
    const float *rows[3] = {
        NAME(ring_row)(&w->ring, y - 1), NAME(ring_row)(&w->ring, y), NAME(ring_row)(&w->ring, y + 1)};
    float *at_first = NAME(convolved_row)(s, w, y);
    float *gated = w->gated + NAME(place)(w, y) * w->columns * hidden;
    for (long c = 0; c < hidden; c += LANES) {
        VF first[9], second[9];
        for (int t = 0; t < 9; t++) {
            first[t] = NAME(load)(s->taps + t * outputs + c, LANES);
            second[t] = NAME(load)(s->taps + t * outputs + hidden + c, LANES);
        }
        for (long i = w->first; i < w->end; i += PIXELS) {
            VF a[PIXELS], b[PIXELS];
            NAME(convolve)(rows, i * pixel + c, pixel, first, a);
            NAME(convolve)(rows, i * pixel + hidden + c, pixel, second, b);
            const float *at_gated = w->at_gated + i * hidden + c;
            float *h = gated + (i - 1) * hidden + c, *at_a = at_first + i * pixel + c, *at_b = at_a + hidden;
            HIDE(at_gated);
            HIDE(h);
            HIDE(at_a);
            HIDE(at_b);
#pragma GCC unroll 4
            for (int p = 0; p < PIXELS; p++) {
                const VF g = NAME(load)(at_gated + p * hidden, LANES), cdf = NAME(normal_cdf)(a[p]);
                const VF gelu = a[p] * cdf, slope = cdf + a[p] * NAME(normal_density)(a[p]);
                if (i + p) NAME(store)(h + p * hidden, gelu * b[p], LANES); /* but for the pixel before the tile */
                NAME(store)(at_a + p * pixel, g * b[p] * slope, LANES);
                NAME(store)(at_b + p * pixel, g * gelu, LANES);
            }
        }
    }
    NAME(clear_beside)(w, at_first, pixel);
}

/* The transposed convolution of some channels at `pixels` pixels, from the rows of the gradient at its result; and
 * these rows' products with u there, for the gradient at the taps. The taps come in reverse. */
static inline __attribute__((always_inline)) TARGET void NAME(convolve_back)(const float *const *rows, const float *u,
    float *out, long out_pixel, long offset, long pixel, const VF *taps, VF *at_taps, const int pixels) {
    VF here[PIXELS], sums[PIXELS];
    for (int p = 0; p < pixels; p++) {
        here[p] = NAME(load)(u + offset + p * pixel, LANES);
        sums[p] = (VF){0};
    }
    for (int dy = 0; dy < 3; dy++) {
        const float *row = rows[dy] + offset;
        HIDE(row);
        for (int q = 0; q < pixels + 2; q++) {
            const VF value = NAME(load)(row + q * pixel, LANES);
            for (int dx = 0; dx < 3; dx++)
                if (q - dx >= 0 && q - dx < pixels) {
                    sums[q - dx] += taps[3 * dy + dx] * value;
                    at_taps[3 * dy + dx] += here[q - dx] * value;
                }
        }
    }
    for (int p = 0; p < pixels; p++) NAME(store)(out + p * out_pixel, sums[p], LANES);
}

/* The gradient at u in row y of the tile, and the row's part of that at the taps. */
static TARGET void NAME(gradient_at_lifted)(const struct feed_forward *s, struct walk *w, long y) {
    const long hidden = PADDED(s->hidden), outputs = 2 * hidden, pixel = NAME(ring_pixel)(&w->ring);
    const float *rows[3] = {
        NAME(convolved_row)(s, w, y - 1), NAME(convolved_row)(s, w, y), NAME(convolved_row)(s, w, y + 1)};
    const float *u = NAME(ring_row)(&w->ring, y) + 2 * pixel;
    for (long c = 0; c < outputs; c += LANES) {
        float *out = w->at_lifted + NAME(place)(w, y) * w->columns * outputs;
        out += c < hidden ? c : c - hidden + s->hidden;
        VF taps[9], at_taps[9];
        for (int t = 0; t < 9; t++) {
            taps[t] = NAME(load)(s->taps + (8 - t) * outputs + c, LANES);
            at_taps[t] = NAME(load)(w->taps + (8 - t) * outputs + c, LANES);
        }
        long i = 0;
        for (; i + PIXELS <= w->columns; i += PIXELS)
            NAME(convolve_back)(rows, u, out + i * outputs, outputs, i * pixel + c, pixel, taps, at_taps, PIXELS);
        for (; i < w->columns; i++)
            NAME(convolve_back)(rows, u, out + i * outputs, outputs, i * pixel + c, pixel, taps, at_taps, 1);
        for (int t = 0; t < 9; t++) NAME(store)(w->taps + (8 - t) * outputs + c, at_taps[t], LANES);
    }
}

/* From the gradient at u to that at x, for the batch that ends with row y of the tile. */
static TARGET void NAME(gradient_at_map)(const struct feed_forward *s, struct walk *w, long y) {
    const long c = s->channels, padded = PADDED(c), outputs = 2 * PADDED(s->hidden), rows = NAME(place)(w, y) + 1;
    const struct matrix back = {2 * s->hidden, padded / LANES, s->project_in_back, NULL, 0};
    NAME(product)(&back, rows * w->columns, w->at_lifted, outputs, w->at_normal, padded);
    for (long row = 0; row < rows; row++) {
        const long start = w->image + ((y - rows + 1 + row) * s->width + w->left) * c;
        float *at_normal = w->at_normal + row * w->columns * padded;
        for (long i = 0; i < w->columns; i++)
            NAME(normalise_backward)(s->x + start + i * c, at_normal + i * padded, c, s->norm_weight,
                at_normal + i * padded, w->norm_weight, w->norm_bias);
        NAME(add_row)(s->gout + start, at_normal, padded, w->columns, c, s->gx + start);
    }
}

/* A batch's part of the gradient at a matrix: `row`, row y of LN(x) or g, joins the others in `rows`; where it is the
 * last one, their products with the `outputs` columns of `other`, `stride` apart, are summed. */
static TARGET void NAME(sum_products)(const struct feed_forward *s, const struct walk *w, long y, const float *row,
    float *rows, const float *other, long outputs, long stride, float *sums) {
    const long size = w->columns * s->channels, place = NAME(place)(w, y);
    const struct factors factors = {outputs, s->channels, stride, s->channels};
    memcpy(rows + place * size, row, (size_t)size * sizeof(float));
    if (NAME(is_last)(w, y)) NAME(outer_products)(&factors, (place + 1) * w->columns, other, rows, sums, 0);
}

/* Row y of the gradient at a and b, and of h where the row is the tile's own. */
static TARGET void NAME(gate_back)(const struct feed_forward *s, struct walk *w, long y) {
    const long hidden = PADDED(s->hidden);
    if (y < 0 || y >= s->height) {
        const long row = NAME(gradient_columns)(s) * NAME(ring_pixel)(&w->ring);
        memset(NAME(convolved_row)(s, w, y), 0, (size_t)row * sizeof(float));
        return;
    }
    NAME(gradient_at_gated)(s, w, y);
    NAME(gate_back_row)(s, w, y);
    if (y >= w->top && y < w->bottom)
        NAME(sum_products)(s, w, y, w->g + s->channels, w->g_batch, w->gated, s->hidden, hidden, w->project_out);
}

/* Row y of the gradient at u; where it ends a batch, the batch's at x. */
static TARGET void NAME(lift_back)(const struct feed_forward *s, struct walk *w, long y) {
    const float *normal = NAME(normals_row)(s, w, y) + 2 * s->channels;
    NAME(gradient_at_lifted)(s, w, y);
    NAME(sum_products)(
        s, w, y, normal, w->normal_batch, w->at_lifted, 2 * s->hidden, 2 * PADDED(s->hidden), w->project_in);
    if (NAME(is_last)(w, y)) NAME(gradient_at_map)(s, w, y);
}

/* Columns [left, left + tile) of rows [top, bottom) of an image. */
static TARGET void NAME(backward)(
    const struct feed_forward *s, const struct tile *t, float *sums, float *memory) {
    const long c = s->channels, hidden = PADDED(s->hidden);
    const long across = NAME(gradient_columns)(s), batched = NAME(batched)(s);
    struct walk w = {.image = t->image * s->height * s->width * c, .left = t->left, .top = t->top, .bottom = t->bottom};
    w.columns = t->left + s->tile < s->width ? s->tile : s->width - t->left;
    w.first = w.left ? 0 : 1;
    w.end = w.columns + (w.left + w.columns < s->width ? 2 : 1);
    w.batch = w.columns < BATCH ? BATCH / w.columns : 1;
    w.ring.rows = memory; /* a convolution may read a few pixels behind */
    w.convolved = w.ring.rows + across * 3 * RING_PIXEL(2 * hidden);
    w.at_gated = w.convolved + across * 3 * RING_PIXEL(2 * hidden);
    w.g = w.at_gated + across * hidden;
    w.normals = w.g + across * c;
    w.at_normal = w.normals + across * 3 * c;
    w.at_lifted = w.at_normal + batched * PADDED(c);
    w.gated = w.at_lifted + batched * 2 * hidden;
    w.g_batch = w.gated + batched * hidden;
    w.normal_batch = w.g_batch + batched * c;
    w.norm_weight = sums;
    w.norm_bias = w.norm_weight + c;
    w.project_in = w.norm_bias + c;
    w.taps = w.project_in + 2 * s->hidden * c;
    w.project_out = w.taps + 18 * hidden;
    w.ring = (struct ring){s->height, s->width, c, s->x + w.image, s->norm_weight, s->norm_bias,
        {c, 2 * hidden / LANES, s->project_in, NULL, 0}, w.left - 1, w.columns + 2, NULL, w.ring.rows};
    for (long y = w.top - 2; y < w.bottom + 2; y++) {
        w.ring.normalised = NAME(normals_row)(s, &w, y);
        NAME(fill)(&w.ring, y);
        if (y >= w.top) NAME(gate_back)(s, &w, y - 1);
        if (y >= w.top + 2) NAME(lift_back)(s, &w, y - 2);
    }
}

/* Floats of memory that a task of the gradient needs. */
static long NAME(gradient_workspace)(const struct feed_forward *s) {
    const long c = s->channels, hidden = PADDED(s->hidden);
    return NAME(gradient_columns)(s) * (6 * RING_PIXEL(2 * hidden) + hidden + 4 * c) +
           NAME(batched)(s) * (3 * hidden + 2 * c + PADDED(c));
}
