/* The second half of the attentive scan: pixels in the order of their classes through the scan, and back. Included by
 * attentive_scan.c once per instruction set. A chunk of TOKENS tokens goes through three steps while it is in the
 * cache. */

/* e^-|x| */
static inline __attribute__((always_inline)) TARGET VF NAME(exponential_of_size)(VF x) {
    VI bits;
    memcpy(&bits, &x, sizeof bits);
    bits |= (int)0x80000000;
    VF minus_size;
    memcpy(&minus_size, &bits, sizeof bits);
    return NAME(exp2)(minus_size * LOG2_E);
}

/* max(x, 0) + log(1 + e), e = e^-|x|; the logarithm by a polynomial fitted within 8e-10 of it before rounding. */
static inline __attribute__((always_inline)) TARGET VF NAME(softplus)(VF x, VF e) {
    VF p = e * 2.0302261522e-03f - 1.3407454316e-02f;
    p = p * e + 4.1478066755e-02f;
    p = p * e - 8.2441564691e-02f;
    p = p * e + 1.2418422787e-01f;
    p = p * e - 1.6105685706e-01f;
    p = p * e + 1.9890746165e-01f;
    p = p * e - 2.4987270627e-01f;
    p = p * e + 3.3332559606e-01f;
    p = p * e - 4.9999981433e-01f;
    p = p * e + 9.9999999926e-01f;
    return NAME(select)(x < 0.0f, (VF){0}, x) + e * p;
}

/* A walk over the pixels of a sequence in raster order. */
struct NAME(walk) {
    long pixel, column, to_next_row;
};

static inline struct NAME(walk) NAME(walk_from)(const struct core *s, long sequence, long t) {
    const long across = s->width / s->block_width, down = s->height / s->block_height,
               image = sequence / (across * down);
    const long row = image * s->height + sequence / across % down * s->block_height + t / s->block_width;
    const long column = t % s->block_width;
    return (struct NAME(walk)){
        row * s->width + sequence % across * s->block_width + column, column, s->width - s->block_width};
}

static inline void NAME(step)(const struct core *s, struct NAME(walk) * w) {
    w->pixel++;
    if (++w->column == s->block_width) {
        w->column = 0;
        w->pixel += w->to_next_row;
    }
}

/* Pixels of a sequence by class, in raster order inside a class. */
static void NAME(sort)(const struct core *s, long sequence) {
    const long length = s->block_height * s->block_width;
    long next[CLASSES + 1] = {0};
    struct NAME(walk) w = NAME(walk_from)(s, sequence, 0);
    for (long t = 0; t < length; t++, NAME(step)(s, &w)) next[s->classes[w.pixel] + 1]++;
    for (int c = 0; c < CLASSES; c++) next[c + 1] += next[c];
    w = NAME(walk_from)(s, sequence, 0);
    for (long t = 0; t < length; t++, NAME(step)(s, &w))
        s->order[sequence * length + next[s->classes[w.pixel]]++] = (int)w.pixel;
}

/* Pixels of y gathered to rows of whole vectors. */
static inline __attribute__((always_inline)) TARGET void NAME(gather)(
    const struct core *s, const int *order, long count, float *u) {
    const long hidden = 2 * s->channels, stride = PADDED(hidden);
    for (long t = 0; t < count; t++)
        for (long c = 0; c < hidden; c += LANES) {
            const long i = c < hidden - LANES ? c : hidden - LANES, from = order[t] * hidden + i;
            const VF y = s->parts == 1 ? NAME(load_halves)((const unsigned short *)s->y + from)
                                       : NAME(load)(s->y + from, LANES);
            NAME(store)(u + t * stride + i, y, LANES);
        }
}

/* What the softplus makes the scan's delta of; rows of parameters are `parameters` apart. */
static TARGET void NAME(before_softplus)(
    const struct core *s, long count, const struct chunk *m, long parameters) {
    const long stride = PADDED(2 * s->channels);
    const struct matrix to_delta = {s->rank, stride / LANES, s->dt_proj, s->dt_bias, 0};
    NAME(product)(&to_delta, count, m->parameters, parameters, m->delta, stride);
}

/* Tokens [first, first + count) of a sequence: gathered to u, and the scan's parameters B, C and delta of them; dt, B
 * and C are kept if asked for. */
static TARGET void NAME(prepare)(const struct core *s, long sequence, long first, long count, const struct chunk *m) {
    const long hidden = 2 * s->channels, stride = PADDED(hidden), parameters = PADDED(s->rank + 2 * STATES);
    const struct matrix to_parameters = {hidden, parameters / LANES, s->x_proj, NULL, 0};
    const long row = sequence * s->block_height * s->block_width + first;
    const int *order = s->order + row;
    NAME(gather)(s, order, count, m->u);
    NAME(product)(&to_parameters, count, m->u, stride, m->parameters, parameters);
    NAME(before_softplus)(s, count, m, parameters);
    for (long i = 0; i < count * stride; i += LANES) {
        const VF x = NAME(load)(m->delta + i, LANES);
        NAME(store)(m->delta + i, NAME(softplus)(x, NAME(exponential_of_size)(x)), LANES);
    }
    struct NAME(walk) w = NAME(walk_from)(s, sequence, first);
    for (long t = 0; t < count; t++, NAME(step)(s, &w)) {
        const long pixel = s->prompt_sorted ? order[t] : w.pixel;
        const float *restrict prompt = s->prompts + (s->prompts_of_pixels ? pixel : s->classes[pixel]) * STATES;
        float *restrict C = m->parameters + t * parameters + s->rank + STATES;
        for (int n = 0; n < STATES; n++) C[n] += prompt[n];
    }
    const long kept = s->rank + 2 * STATES;
    for (long t = 0; s->parameters && t < count; t++)
        memcpy(s->parameters + (row + t) * kept, m->parameters + t * parameters, (size_t)kept * sizeof(float));
}

/* Fetch into the cache, ahead of their use, LANES channels from c on at some pixels of a map. */
static inline __attribute__((always_inline)) TARGET void NAME(fetch)(
    const float *map, long channels, const int *pixels, long count, long c) {
    for (long t = 0; t < count && c < channels; t++) __builtin_prefetch(map + pixels[t] * channels + c);
}

static inline int NAME(streams_out)(const struct core *s) {
    return NAME(wants_stream)(s->out, s->batch * s->height * s->width, s->channels);
}

/* The scan of LANES channels from c over the tokens [first, first + count) of a sequence, from and to the state; y
 * takes the place of u. If asked for, the state before every SEGMENT-th token is kept. */
static TARGET void NAME(scan)(
    const struct core *s, long sequence, long first, long count, long c, const struct chunk *m, float *state) {
    const long stride = PADDED(2 * s->channels), parameters = PADDED(s->rank + 2 * STATES);
    const long length = s->block_height * s->block_width, segments = (length + SEGMENT - 1) / SEGMENT;
    const int streams = NAME(streams_out)(s);
    const long of_y = s->parts == 1 ? 2 : 1; /* channels in a float's room */
    VF A[STATES], h[STATES];
    for (int n = 0; n < STATES; n++) {
        A[n] = NAME(load)(s->A + n * stride + c, LANES) * LOG2_E;
        h[n] = NAME(load)(state + n * stride + c, LANES);
    }
    for (long t = 0; t < count; t += SEGMENT) {
        const long tokens = count - t < SEGMENT ? count - t : SEGMENT, left = length - first - t - TOKENS;
        const int *order = s->order + sequence * length + first + t;
        float *u = m->u + t * stride + c, *B = m->parameters + t * parameters + s->rank;
        const struct scan_rows rows = {u, m->delta + t * stride + c, B, B + STATES, u, stride, stride, parameters,
            parameters, stride};
        if (s->starts)
            for (int n = 0; n < STATES; n++)
                NAME(store)(s->starts + ((sequence * segments + (first + t) / SEGMENT) * STATES + n) * stride + c, h[n],
                    LANES);
        NAME(fetch)(s->y, 2 * s->channels / of_y, order + TOKENS, left < SEGMENT ? left : SEGMENT, c / of_y);
        NAME(fetch)(s->x, s->channels, order, tokens, c);
        if (!streams) NAME(fetch)(s->out, s->channels, order, tokens, c);
        NAME(scan_rows)(rows, tokens, 0, A, NAME(load)(s->D + c, LANES), h, LANES, STATES);
    }
    for (int n = 0; n < STATES; n++) NAME(store)(state + n * stride + c, h[n], LANES);
}

/* Scanned tokens normalised, projected and added to their pixels; if asked for, the normalised ones are kept. */
static TARGET void NAME(finish)(const struct core *s, long sequence, long first, long count, const struct chunk *m) {
    const long hidden = 2 * s->channels, stride = PADDED(hidden), outputs = PADDED(s->channels);
    const struct matrix project_out = {hidden, outputs / LANES, s->project_out, s->project_out_bias, s->parts};
    const long row = sequence * s->block_height * s->block_width + first;
    const int *order = s->order + row;
    for (long t = 0; t < count; t++) {
        float *normal = m->delta + t * stride;
        const float scale = NAME(normalise)(m->u + t * stride, hidden, s->norm_weight, s->norm_bias, normal);
        if (s->normal) {
            for (long i = hidden; i < stride; i++) normal[i] = 0;
            s->scales[row + t] = scale;
        }
    }
    if (s->normal) memcpy(s->normal + row * stride, m->delta, (size_t)(count * stride) * sizeof(float));
    NAME(product)(&project_out, count, m->delta, stride, m->result, outputs);
    const int streams = NAME(streams_out)(s);
    for (long t = 0; t < count; t++) {
        const long pixel = order[t] * s->channels;
        if (streams)
            NAME(stream_row)(s->x + pixel, m->result + t * outputs, outputs, 1, s->channels, s->out + pixel);
        else
            NAME(add_row)(s->x + pixel, m->result + t * outputs, outputs, 1, s->channels, s->out + pixel);
    }
}

/* Floats of memory for a chunk of `tokens`. */
static long NAME(chunk_size)(const struct core *s, long tokens) {
    return ROUNDED(tokens) * (2 * PADDED(2 * s->channels) + PADDED(s->rank + 2 * STATES) + PADDED(s->channels));
}

static struct chunk NAME(chunk_at)(const struct core *s, long tokens, float *memory) {
    const long rows = ROUNDED(tokens), hidden = PADDED(2 * s->channels);
    float *u = memory, *delta = u + rows * hidden, *parameters = delta + rows * hidden;
    return (struct chunk){u, delta, parameters, parameters + rows * PADDED(s->rank + 2 * STATES)};
}

/* The chunk from its row t on. */
static struct chunk NAME(chunk_from)(const struct core *s, const struct chunk *m, long t) {
    const long hidden = t * PADDED(2 * s->channels);
    return (struct chunk){m->u + hidden, m->delta + hidden, m->parameters + t * PADDED(s->rank + 2 * STATES),
        m->result + t * PADDED(s->channels)};
}
