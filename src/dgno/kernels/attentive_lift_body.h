/* The first half of the attentive scan: every pixel's class, and its gated features. Included by attentive_scan.c once
 * per instruction set. */

/* The class with the greatest value, the first of equals, as torch has it. */
static inline __attribute__((always_inline)) TARGET unsigned char NAME(best)(const float *values) {
    VF greatest = NAME(load)(values, LANES);
    for (long c = LANES; c < CLASSES; c += LANES) {
        const VF other = NAME(load)(values + c, LANES);
        greatest = NAME(select)(other > greatest, other, greatest);
    }
    greatest = NAME(maximum)(greatest);
    VI first = NAME(lanes)() + CLASSES;
    for (long c = CLASSES - LANES; c >= 0; c -= LANES) {
        const VI is_best = NAME(load)(values + c, LANES) >= greatest;
        first = (is_best & (NAME(lanes)() + (int)c)) | (~is_best & first);
    }
    const int class = NAME(minimum)(first);
    return (unsigned char)(class < CLASSES ? class : 0); /* not-a-number is no best */
}

/* The soft-max of logits with Gumbel noise, put where the uniform numbers U in [0, 1) were, and the class that it makes
 * the best. As exp(logit - log(-log U)) = exp(logit) / -log U, one logarithm is enough, to any base. U = 0 has no
 * chance: the greatest logit, by which exp(logit) is scaled, is looked for among the others. */
static TARGET unsigned char NAME(draw)(const float *logits, float *uniform) {
    const VF none = (VF){0} - INFINITY;
    VF greatest = none, total = {0};
    for (long c = 0; c < CLASSES; c += LANES) {
        const VF logit = NAME(load)(logits + c, LANES);
        const VI counts = (logit > greatest) & (NAME(load)(uniform + c, LANES) > 0);
        greatest = NAME(select)(counts, logit, greatest);
    }
    greatest = NAME(maximum)(greatest);
    for (long c = 0; c < CLASSES; c += LANES) {
        const VF u = NAME(load)(uniform + c, LANES);
        const VF chance = NAME(exp2)((NAME(load)(logits + c, LANES) - greatest) * LOG2_E) / -NAME(log2)(u);
        const VF kept = NAME(select)(u > 0, chance, (VF){0});
        NAME(store)(uniform + c, kept, LANES);
        total += kept;
    }
    const VF scale = 1.0f / NAME(sum)(total);
    for (long c = 0; c < CLASSES; c += LANES)
        NAME(store)(uniform + c, NAME(load)(uniform + c, LANES) * scale, LANES);
    return NAME(best)(uniform);
}

/* The class of every pixel of the tile in the row that was filled last: the best of the routing's logits, or a draw. */
static TARGET void NAME(route)(const struct lift *s, const struct ring *r, float *hidden, float *logits,
    unsigned char *classes, float *uniform) {
    const long inner = PADDED(s->routing);
    const struct matrix to_hidden = {s->channels, inner / LANES, s->route_hidden, s->route_hidden_bias, 0};
    const struct matrix to_logits = {s->routing, CLASSES / LANES, s->route_logits, s->route_logits_bias, 0};
    NAME(product)(&to_hidden, r->columns, r->normalised + r->channels, r->channels, hidden, inner);
    for (long i = 0; i < r->columns * inner; i += LANES) {
        const VF value = NAME(load)(hidden + i, LANES);
        NAME(store)(hidden + i, value * NAME(normal_cdf)(value), LANES);
    }
    NAME(product)(&to_logits, r->columns, hidden, inner, logits, CLASSES);
    for (long i = 0; i < r->columns; i++)
        classes[i] = uniform ? NAME(draw)(logits + i * CLASSES, uniform + i * CLASSES)
                             : NAME(best)(logits + i * CLASSES);
}

/* y * sigmoid(convolution of y + bias), for row y of the tile, from the pixel `first` of the result on. */
static TARGET void NAME(position_row)(const struct lift *s, const struct ring *r, long y, long first) {
    const long hidden = 2 * s->channels, pixel = NAME(ring_pixel)(r);
    const float *rows[3] = {NAME(ring_row)(r, y - 1), NAME(ring_row)(r, y), NAME(ring_row)(r, y + 1)};
    const int is_last = y + 1 == r->height, is_half = s->parts == 1;
    float *out = s->y + first * hidden / (is_half ? 2 : 1);
    for (long start = 0; start < hidden; start += LANES) {
        const long c = start < hidden - LANES ? start : hidden - LANES; /* the last vector ends at the last channel */
        const VF bias = NAME(load)(s->position_bias + c, LANES);
        VF taps[9];
        for (int t = 0; t < 9; t++) taps[t] = NAME(load)(s->position + t * hidden + c, LANES);
        for (long i = 0; i < r->columns; i += PIXELS) {
            VF sums[PIXELS];
            if (!start && !is_last && !is_half) NAME(ask_to_write)(out + (r->width + i) * hidden, PIXELS * hidden);
            NAME(convolve)(rows, i * pixel + c, pixel, taps, sums);
            for (int p = 0; p < PIXELS && i + p < r->columns; p++) {
                const VF e = NAME(exp2)((sums[p] + bias) * -LOG2_E);
                const VF gated = NAME(load)(rows[1] + (i + p + 1) * pixel + c, LANES) / (e + 1.0f);
                if (is_half)
                    NAME(store_halves)((unsigned short *)out + (i + p) * hidden + c, gated);
                else
                    NAME(store)(out + (i + p) * hidden + c, gated, LANES);
            }
        }
    }
}

static TARGET void NAME(lift_row)(
    const struct lift *s, const struct ring *r, long b, long y, float *hidden, float *logits) {
    NAME(fill)(r, y);
    if (y < 0 || y >= s->height) return;
    const long pixel = (b * s->height + y) * s->width + r->left;
    NAME(route)(s, r, hidden, logits, s->classes + pixel, s->uniform ? s->uniform + pixel * CLASSES : NULL);
}

/* One task: columns [left, left + tile) of rows [top, bottom) of an image. Rows beside the strip are not routed. */
static TARGET void NAME(lift)(const struct lift *s, long b, long top, long bottom, long left, float *memory) {
    const long columns = left + s->tile < s->width ? s->tile : s->width - left, rounded = ROUNDED(s->tile + 2);
    float *hidden = memory, *logits = hidden + rounded * PADDED(s->routing), *normalised = logits + rounded * CLASSES;
    const struct ring r = {
        s->height,
        s->width,
        s->channels,
        s->x + b * s->height * s->width * s->channels,
        s->norm_weight,
        s->norm_bias,
        {s->channels, PADDED(2 * s->channels) / LANES, s->project_in, s->project_in_bias, s->parts},
        left,
        columns,
        normalised,
        normalised + (rounded + 1) * s->channels,
    };
    NAME(fill)(&r, top - 1);
    NAME(lift_row)(s, &r, b, top, hidden, logits);
    for (long y = top; y < bottom; y++) {
        if (y + 1 < bottom)
            NAME(lift_row)(s, &r, b, y + 1, hidden, logits);
        else
            NAME(fill)(&r, y + 1);
        NAME(position_row)(s, &r, y, (b * s->height + y) * s->width + left);
    }
}

/* Floats of memory that a task needs. */
static long NAME(lift_workspace)(const struct lift *s) {
    const long rounded = ROUNDED(s->tile + 2), pixel = RING_PIXEL(PADDED(2 * s->channels));
    return rounded * (PADDED(s->routing) + CLASSES + 3 * pixel) + (rounded + 1) * s->channels +
           PIXELS * pixel; /* convolved beyond the last row of the ring, and not kept */
}
